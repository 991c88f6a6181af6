/** A small line over time; figures are told beside it. */

import type { JSX } from "preact";
import { linePath, scaleOf } from "./line-path.ts";

const WIDTH = 300;
const HEIGHT = 56;

interface SparklineProps {
  label: string;
  /** The newest value in words. */
  now: string;
  values: readonly (number | null | undefined)[];
  /** How a value reads, for the scale. */
  format: (value: number) => string;
}

export function Sparkline({ label, now, values, format }: SparklineProps): JSX.Element {
  const top = scaleOf(values);
  const known = values.filter((each) => typeof each === "number");
  const least = known.length === 0 ? 0 : Math.min(...known);
  const most = known.length === 0 ? 0 : Math.max(...known);
  return (
    <figure class="sparkline">
      <figcaption>
        <span>
          {label} <span class="hint">0 to {format(top)}</span>
        </span>
        <b>{now}</b>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={
          known.length === 0 ? `${label}: not known` : `${label}: from ${format(least)} to ${format(most)}`
        }
      >
        <path class="sparkline-line" d={linePath(values, top, WIDTH, HEIGHT)} />
      </svg>
    </figure>
  );
}
