/** Draws the scene onto one canvas at a steady rate, also while the page is hidden, and captures it. */

import { Cadence } from "./cadence.ts";
import { type Box, boxes, type Layout, type Size } from "./layout.ts";
import { type Title, TitleOverlay } from "./overlay.ts";
import type { PictureSource } from "./source.ts";

export interface Scene {
  layout: Layout;
  main: PictureSource | undefined;
  second: PictureSource | undefined;
  title: Title;
}

export interface CompositorStatistics {
  framesDrawn: number;
  /** Over the last two seconds. */
  framesPerSecond: number;
  /** The longest pause between two frames since the start, in milliseconds. */
  longestGapMs: number;
}

/** The span over which the rate is measured, in milliseconds. */
const RATE_SPAN_MS = 2_000;

/** After how many missed frames the display's ticks count as stopped, and the worker's take over. */
const STALLED_FRAMES = 2.5;

export class Compositor {
  readonly canvas = document.createElement("canvas");
  readonly framesPerSecond: number;
  scene: Scene = {
    layout: "full",
    main: undefined,
    second: undefined,
    title: { visible: false, headline: "", subline: "" },
  };

  /** Called before each frame is drawn. */
  onFrame: ((nowMs: number) => void) | undefined;

  readonly #context: CanvasRenderingContext2D;
  readonly #overlay = new TitleOverlay();
  readonly #cadence: Cadence;
  #ticker: Worker | undefined;
  #display = 0;
  #lastDisplayTickMs = 0;
  #frames = 0;
  #drawnAtMs: number[] = [];
  #longestGapMs = 0;
  #track: MediaStreamTrack | undefined;

  constructor(size: Size, framesPerSecond: number) {
    const context = this.canvas.getContext("2d", { alpha: false });
    if (context === null) throw new Error("this browser has no canvas");
    this.#context = context;
    this.framesPerSecond = framesPerSecond;
    this.#cadence = new Cadence(framesPerSecond);
    this.resize(size);
  }

  get size(): Size {
    return { width: this.canvas.width, height: this.canvas.height };
  }

  resize({ width, height }: Size): void {
    this.canvas.width = width;
    this.canvas.height = height;
  }

  start(): void {
    if (this.#ticker !== undefined) return;
    this.#ticker = new Worker(new URL("./ticker.worker.ts", import.meta.url), { type: "module" });
    this.#ticker.onmessage = () => this.#onWorkerTick();
    this.#ticker.postMessage(this.#cadence.intervalMs / 2);
    const onDisplayTick = (): void => {
      this.#display = requestAnimationFrame(onDisplayTick);
      this.#lastDisplayTickMs = performance.now();
      this.#tick(this.#lastDisplayTickMs);
    };
    this.#display = requestAnimationFrame(onDisplayTick);
  }

  stop(): void {
    cancelAnimationFrame(this.#display);
    this.#ticker?.terminate();
    this.#ticker = undefined;
    this.#track?.stop();
    this.#track = undefined;
  }

  /** The canvas as a track; the same one each time while it lives. */
  track(): MediaStreamTrack {
    if (this.#track?.readyState === "live") return this.#track;
    const byRequest = this.canvas.captureStream(0).getVideoTracks()[0];
    // A browser that cannot capture on request captures at the rate that it is told.
    const track =
      byRequest !== undefined && isRequestable(byRequest)
        ? byRequest
        : this.canvas.captureStream(this.framesPerSecond).getVideoTracks()[0];
    if (track === undefined) throw new Error("this browser cannot capture a canvas");
    this.#track = track;
    return track;
  }

  statistics(): CompositorStatistics {
    const since = performance.now() - RATE_SPAN_MS;
    const recent = this.#drawnAtMs.filter((at) => at >= since).length;
    return {
      framesDrawn: this.#frames,
      framesPerSecond: (recent * 1000) / RATE_SPAN_MS,
      longestGapMs: this.#longestGapMs,
    };
  }

  #onWorkerTick(): void {
    const now = performance.now();
    const stalled = now - this.#lastDisplayTickMs > this.#cadence.intervalMs * STALLED_FRAMES;
    if (document.hidden || stalled) this.#tick(now);
  }

  #tick(nowMs: number): void {
    if (!this.#cadence.take(nowMs)) return;
    this.onFrame?.(nowMs);
    this.#draw(nowMs);
    const track = this.#track;
    if (track !== undefined && isRequestable(track)) track.requestFrame();
    this.#count(nowMs);
  }

  #draw(nowMs: number): void {
    const context = this.#context;
    const { layout, main, second, title } = this.scene;
    const places = boxes(layout, this.size, second !== undefined);
    context.fillStyle = "#0b0f17";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    const time = { nowMs, frame: this.#frames };
    main?.draw(context, places.main, time);
    if (second !== undefined && places.second !== undefined) {
      second.draw(context, places.second, time);
      if (layout === "picture-in-picture") this.#frame(places.second);
    }
    this.#overlay.draw(context, this.size, title, nowMs);
  }

  #frame({ x, y, width, height }: Box): void {
    this.#context.lineWidth = Math.max(2, this.canvas.height / 240);
    this.#context.strokeStyle = "rgba(255, 255, 255, 0.9)";
    this.#context.strokeRect(x, y, width, height);
  }

  #count(nowMs: number): void {
    const before = this.#drawnAtMs.at(-1);
    if (before !== undefined) this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - before);
    this.#frames += 1;
    this.#drawnAtMs.push(nowMs);
    while ((this.#drawnAtMs[0] ?? nowMs) < nowMs - RATE_SPAN_MS) this.#drawnAtMs.shift();
  }
}

function isRequestable(track: MediaStreamTrack): track is CanvasCaptureMediaStreamTrack {
  return typeof (track as Partial<CanvasCaptureMediaStreamTrack>).requestFrame === "function";
}
