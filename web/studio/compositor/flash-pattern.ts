/** A white flash at each whole second, for measuring delay and the offset of sound against picture. */

import { drawCounter } from "./frame-counter.ts";
import type { Box } from "./layout.ts";
import type { FrameTime, PictureSource } from "./source.ts";

/** How long the picture is white and the beep sounds, in milliseconds. */
export const FLASH_MS = 100;

/** One flash as it was drawn. */
export interface Flash {
  /** Milliseconds of the page's clock. */
  atMs: number;
  /** The frame that was the first white one. */
  frame: number;
  /** Whole seconds since the pattern began. */
  second: number;
}

export class FlashPattern implements PictureSource {
  readonly #onFlash: (flash: Flash) => void;
  #beganMs: number | undefined;
  #second = 0;
  #flashBeganMs = Number.NEGATIVE_INFINITY;

  /** The callback comes within the drawing of the first white frame, so that a beep can start with it. */
  constructor(onFlash: (flash: Flash) => void) {
    this.#onFlash = onFlash;
  }

  draw(context: CanvasRenderingContext2D, box: Box, { nowMs, frame }: FrameTime): void {
    this.#beganMs ??= nowMs;
    const second = Math.floor((nowMs - this.#beganMs) / 1000);
    if (second > this.#second) {
      this.#second = second;
      this.#flashBeganMs = nowMs;
      this.#onFlash({ atMs: nowMs, frame, second });
    }
    // Half a frame of tolerance keeps the flash at three frames of thirty however the ticks fall.
    const white = nowMs - this.#flashBeganMs < FLASH_MS - 17;
    this.#paint(context, box, white, frame, nowMs - this.#beganMs);
  }

  stop(): void {
    this.#beganMs = undefined;
  }

  #paint(context: CanvasRenderingContext2D, box: Box, white: boolean, frame: number, sinceMs: number): void {
    context.fillStyle = white ? "#ffffff" : "#101418";
    context.fillRect(box.x, box.y, box.width, box.height);
    const middle = box.y + box.height / 2;
    context.fillStyle = white ? "#000000" : "#e8ecf5";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `600 ${Math.round(box.height * 0.14)}px ui-monospace, "DejaVu Sans Mono", monospace`;
    context.fillText(String(frame).padStart(6, "0"), box.x + box.width / 2, middle);
    const progress = (sinceMs % 1000) / 1000;
    context.fillRect(box.x, box.y + box.height * 0.94, box.width * progress, box.height * 0.06);
    drawCounter(context, box, frame);
  }
}
