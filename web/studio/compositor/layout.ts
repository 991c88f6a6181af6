/** Where the pictures of a scene lie on the canvas. Pure geometry, in pixels. */

export type Layout = "full" | "picture-in-picture" | "side-by-side";

export const LAYOUTS: readonly Layout[] = ["full", "picture-in-picture", "side-by-side"];

export interface Size {
  width: number;
  height: number;
}

export interface Box extends Size {
  x: number;
  y: number;
}

/** The boxes of the main and the second picture; without a second picture every layout is full. */
export function boxes(layout: Layout, size: Size, hasSecond: boolean): { main: Box; second?: Box } {
  const { width, height } = size;
  const whole: Box = { x: 0, y: 0, width, height };
  if (!hasSecond || layout === "full") return { main: whole };
  if (layout === "picture-in-picture") {
    const small = { width: even(width * 0.28), height: even(height * 0.28) };
    const margin = even(height * 0.045);
    return {
      main: whole,
      second: { x: width - small.width - margin, y: margin, ...small },
    };
  }
  const gap = even(width * 0.0125);
  const half = even((width - gap * 3) / 2);
  const tall = Math.min(even((half * 3) / 4), height - gap * 2);
  const y = even((height - tall) / 2);
  return {
    main: { x: gap, y, width: half, height: tall },
    second: { x: gap * 2 + half, y, width: half, height: tall },
  };
}

/** The part of a picture that fills a box without distortion; the rest is cut off. */
export function cover(picture: Size, box: Size): Box {
  const scale = Math.max(box.width / picture.width, box.height / picture.height);
  const width = box.width / scale;
  const height = box.height / scale;
  return { x: (picture.width - width) / 2, y: (picture.height - height) / 2, width, height };
}

/** The largest box of the picture's shape inside another, centred. */
export function contain(picture: Size, box: Box): Box {
  const scale = Math.min(box.width / picture.width, box.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y + (box.height - height) / 2, width, height };
}

/** Chroma is sampled at half size: edges on even pixels stay sharp. */
function even(pixels: number): number {
  return Math.round(pixels / 2) * 2;
}
