/** A calm card in the place of a picture that is not there yet. */

import { type Box, contain } from "./layout.ts";
import type { PictureSource } from "./source.ts";

export class StandbyCard implements PictureSource {
  readonly #title: () => string;

  constructor(title: () => string) {
    this.#title = title;
  }

  draw(context: CanvasRenderingContext2D, box: Box): void {
    const { x, y, width, height } = contain({ width: 16, height: 9 }, box);
    const title = this.#title().trim();
    context.fillStyle = "#10202b";
    context.fillRect(box.x, box.y, box.width, box.height);
    context.fillStyle = "#2dd4bf";
    context.fillRect(x + width * 0.44, y + height * 0.4, width * 0.12, Math.max(2, height * 0.008));
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = "#ffffff";
    context.font = `600 ${Math.round(height * 0.08)}px system-ui, sans-serif`;
    if (title !== "") context.fillText(title, x + width / 2, y + height * 0.3, width * 0.9);
    context.fillStyle = "#cbd5e1";
    context.font = `400 ${Math.round(height * 0.05)}px system-ui, sans-serif`;
    context.fillText("One moment, please", x + width / 2, y + height * 0.5, width * 0.9);
  }

  stop(): void {}
}
