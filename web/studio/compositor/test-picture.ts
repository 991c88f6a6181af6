/** A moving picture that needs no camera: colour bars, a sweep, a ball, and a running clock. */

import type { Box } from "./layout.ts";
import type { FrameTime, PictureSource } from "./source.ts";

const BARS = ["#c0c0c0", "#c0c000", "#00c0c0", "#00c000", "#c000c0", "#c00000", "#0000c0"];

export class TestPicture implements PictureSource {
  #background: HTMLCanvasElement | undefined;

  draw(context: CanvasRenderingContext2D, box: Box, { nowMs, frame }: FrameTime): void {
    const seconds = nowMs / 1000;
    context.save();
    context.beginPath();
    context.rect(box.x, box.y, box.width, box.height);
    context.clip();
    context.translate(box.x, box.y);
    context.drawImage(this.#backgroundFor(box), 0, 0);
    drawSweep(context, box, seconds);
    drawBall(context, box, seconds);
    drawClock(context, box, frame);
    context.restore();
  }

  stop(): void {
    this.#background = undefined;
  }

  /** The still part, drawn once per size. */
  #backgroundFor({ width, height }: Box): HTMLCanvasElement {
    if (this.#background?.width === width && this.#background.height === height) return this.#background;
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { alpha: false });
    if (context !== null) drawBackground(context, width, height);
    this.#background = canvas;
    return canvas;
  }
}

function drawBackground(context: CanvasRenderingContext2D, width: number, height: number): void {
  const bars = Math.round(height * 0.66);
  const step = width / BARS.length;
  BARS.forEach((colour, index) => {
    context.fillStyle = colour;
    context.fillRect(Math.round(index * step), 0, Math.ceil(step), bars);
  });
  const ramp = context.createLinearGradient(0, 0, width, 0);
  ramp.addColorStop(0, "#000");
  ramp.addColorStop(1, "#fff");
  context.fillStyle = ramp;
  context.fillRect(0, bars, width, Math.round(height * 0.08));
  context.fillStyle = "#10141f";
  context.fillRect(0, bars + Math.round(height * 0.08), width, height);
}

function drawSweep(context: CanvasRenderingContext2D, { width, height }: Box, seconds: number): void {
  const x = ((seconds / 4) % 1) * width;
  context.fillStyle = "rgba(255, 255, 255, 0.25)";
  context.fillRect(x, 0, width * 0.012, height * 0.74);
}

function drawBall(context: CanvasRenderingContext2D, { width, height }: Box, seconds: number): void {
  const radius = height * 0.075;
  const x = radius + bounce(seconds / 3.1) * (width - radius * 2);
  const y = radius + bounce(seconds / 1.7) * (height * 0.66 - radius * 2);
  context.beginPath();
  context.arc(x, y, radius, 0, Math.PI * 2);
  context.fillStyle = "#ffffff";
  context.fill();
  context.lineWidth = height * 0.012;
  context.strokeStyle = "#10141f";
  context.stroke();
}

function drawClock(context: CanvasRenderingContext2D, { width, height }: Box, frame: number): void {
  context.textBaseline = "middle";
  context.fillStyle = "#e8ecf5";
  context.font = `600 ${Math.round(height * 0.085)}px ui-monospace, "DejaVu Sans Mono", monospace`;
  context.textAlign = "left";
  context.fillText(new Date().toISOString().slice(11, 21), width * 0.035, height * 0.87);
  context.textAlign = "right";
  context.font = `400 ${Math.round(height * 0.05)}px ui-monospace, "DejaVu Sans Mono", monospace`;
  context.fillText(`frame ${frame}`, width * 0.965, height * 0.87);
}

/** Goes from 0 to 1 and back in each whole unit of time. */
function bounce(time: number): number {
  const phase = time % 1;
  return phase < 0.5 ? phase * 2 : 2 - phase * 2;
}
