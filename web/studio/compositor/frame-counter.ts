/** A picture's number as black and white blocks along its upper edge: tests read it from recordings, whatever the codec. */

import type { Box } from "./layout.ts";

/** Two blocks that mark the beginning, the number, its check, two that mark the end. */
const BLOCKS = 24;

const NUMBER_BITS = 16;

const CHECK_BITS = 4;

/** The row takes this part of the picture's height. */
const HEIGHT_DIVISOR = 20;

/** White or black from left to right. The number is in Gray code, so that few blocks change from one to the next. */
export function counterBlocks(frame: number): boolean[] {
  const number = frame % 2 ** NUMBER_BITS;
  const gray = number ^ (number >> 1);
  let check = 0b0101;
  for (let nibble = 0; nibble < NUMBER_BITS / 4; nibble += 1) check ^= (number >> (4 * nibble)) & 0xf;
  const bits = (value: number, count: number): boolean[] =>
    Array.from({ length: count }, (_, bit) => ((value >> (count - 1 - bit)) & 1) === 1);
  return [true, false, ...bits(gray, NUMBER_BITS), ...bits(check, CHECK_BITS), false, true];
}

export function drawCounter(context: CanvasRenderingContext2D, box: Box, frame: number): void {
  const height = Math.max(2, Math.round(box.height / HEIGHT_DIVISOR));
  counterBlocks(frame).forEach((white, index) => {
    const from = Math.round((index * box.width) / BLOCKS);
    const to = Math.round(((index + 1) * box.width) / BLOCKS);
    context.fillStyle = white ? "#ffffff" : "#000000";
    context.fillRect(box.x + from, box.y, to - from, height);
  });
}
