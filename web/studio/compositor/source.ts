/** What a scene is made of: things that can draw themselves into a box. */

import type { Box } from "./layout.ts";

/** The instant that a frame shows. */
export interface FrameTime {
  /** Milliseconds of the page's clock. */
  nowMs: number;
  /** Frames drawn before this one. */
  frame: number;
}

export interface PictureSource {
  draw(context: CanvasRenderingContext2D, box: Box, time: FrameTime): void;
  /** Gives devices back. */
  stop(): void;
}
