/** The title at the lower left of the picture. */

import type { Size } from "./layout.ts";

export interface Title {
  visible: boolean;
  headline: string;
  subline: string;
}

/** How long the title takes to come and go, in milliseconds. */
const MOVE_MS = 280;

export class TitleOverlay {
  #shown = 0;
  #lastMs: number | undefined;
  #headline = "";
  #subline = "";

  draw(context: CanvasRenderingContext2D, size: Size, title: Title, nowMs: number): void {
    const wanted = title.visible && title.headline.trim() !== "";
    const elapsed = nowMs - (this.#lastMs ?? nowMs);
    this.#lastMs = nowMs;
    this.#shown = Math.max(0, Math.min(1, this.#shown + ((wanted ? 1 : -1) * elapsed) / MOVE_MS));
    if (wanted) {
      this.#headline = title.headline.trim();
      this.#subline = title.subline.trim();
    }
    if (this.#shown > 0) this.#paint(context, size);
  }

  #paint(context: CanvasRenderingContext2D, { width, height }: Size): void {
    const ease = 1 - (1 - this.#shown) ** 3;
    const unit = height / 100;
    const padding = unit * 2.4;
    const headlineFont = `600 ${unit * 5}px system-ui, sans-serif`;
    const sublineFont = `400 ${unit * 3.2}px system-ui, sans-serif`;
    const longest = width * 0.86 - padding * 2;
    context.save();
    context.font = headlineFont;
    const headline = shortened(context, this.#headline, longest);
    let textWidth = context.measureText(headline).width;
    context.font = sublineFont;
    const subline = shortened(context, this.#subline, longest);
    textWidth = Math.max(textWidth, context.measureText(subline).width);
    const boxHeight = subline === "" ? unit * 9.5 : unit * 13.5;
    const x = width * 0.05;
    const y = height * 0.92 - boxHeight + (1 - ease) * unit * 4;
    context.globalAlpha = ease;
    context.fillStyle = "rgba(11, 15, 23, 0.86)";
    context.fillRect(x, y, textWidth + padding * 2, boxHeight);
    context.fillStyle = "#2dd4bf";
    context.fillRect(x, y, unit * 0.8, boxHeight);
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillStyle = "#ffffff";
    context.font = headlineFont;
    context.fillText(headline, x + padding, y + (subline === "" ? boxHeight / 2 : unit * 4.9));
    context.fillStyle = "#cbd5e1";
    context.font = sublineFont;
    if (subline !== "") context.fillText(subline, x + padding, y + unit * 9.8);
    context.restore();
  }
}

function shortened(context: CanvasRenderingContext2D, text: string, longest: number): string {
  if (context.measureText(text).width <= longest) return text;
  let kept = text;
  while (kept.length > 1 && context.measureText(`${kept}…`).width > longest) kept = kept.slice(0, -1);
  return `${kept}…`;
}
