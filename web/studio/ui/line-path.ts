/** The geometry of a small line over time. */

type Values = readonly (number | null | undefined)[];

/** The least margin of the line to the edge, in units of the drawing. */
const MARGIN = 3;

/** The top of the scale: a round number not below any value. */
export function scaleOf(values: Values): number {
  const most = Math.max(0, ...values.map((each) => each ?? 0));
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return ([1, 2, 5, 10].find((step) => step * power >= most) ?? 10) * power;
}

/** An SVG path through the values, from zero at the bottom; it is broken where a value is not known. */
export function linePath(values: Values, top: number, width: number, height: number): string {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const commands: string[] = [];
  let isDrawing = false;
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      isDrawing = false;
      return;
    }
    const x = (index * step).toFixed(1);
    const y = (height - MARGIN - (value / top) * (height - 2 * MARGIN)).toFixed(1);
    commands.push(`${isDrawing ? "L" : "M"}${x} ${y}`);
    isDrawing = true;
  });
  return commands.join("");
}
