/** A camera or a shared screen as a picture. */

import { type Box, contain, cover } from "./layout.ts";
import type { PictureSource } from "./source.ts";

export type Fit = "cover" | "contain";

export class VideoSource implements PictureSource {
  readonly stream: MediaStream;
  readonly #video = document.createElement("video");
  readonly #fit: Fit;

  constructor(stream: MediaStream, fit: Fit, onEnded: () => void) {
    this.stream = stream;
    this.#fit = fit;
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#video.srcObject = new MediaStream(stream.getVideoTracks());
    stream.getVideoTracks()[0]?.addEventListener("ended", onEnded);
  }

  /** Resolves once there is a picture. */
  async ready(): Promise<void> {
    await this.#video.play();
  }

  draw(context: CanvasRenderingContext2D, box: Box): void {
    const picture = { width: this.#video.videoWidth, height: this.#video.videoHeight };
    context.fillStyle = "#0b0f17";
    context.fillRect(box.x, box.y, box.width, box.height);
    if (picture.width === 0 || picture.height === 0) return;
    if (this.#fit === "cover") {
      const part = cover(picture, box);
      context.drawImage(
        this.#video,
        part.x,
        part.y,
        part.width,
        part.height,
        box.x,
        box.y,
        box.width,
        box.height,
      );
    } else {
      const place = contain(picture, box);
      context.drawImage(this.#video, place.x, place.y, place.width, place.height);
    }
  }

  stop(): void {
    for (const track of this.stream.getTracks()) track.stop();
    this.#video.srcObject = null;
  }
}
