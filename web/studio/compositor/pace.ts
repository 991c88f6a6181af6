/** Notices when the browser or the computer leaves us too little time to draw. Pure: time is an argument. */

/** Below this share of the wanted rate the picture stutters for everybody. */
const SLOW_SHARE = 0.5;

/** Above this share all is well again. */
const WELL_SHARE = 0.8;

/** How long it has to be slow, in milliseconds: opening a device costs a second. */
const PATIENCE_MS = 3_000;

/** How long the words stay after a hidden page has come back, so that its host can read them, in milliseconds. */
const AFTERGLOW_MS = 10_000;

export interface Pace {
  framesPerSecond: number;
  /** Whether the page was hidden meanwhile. */
  hidden: boolean;
}

export class PaceWatch {
  readonly #wanted: number;
  #slowSinceMs: number | undefined;
  #told: (Pace & { atMs: number }) | undefined;

  constructor(wantedFramesPerSecond: number) {
    this.#wanted = wantedFramesPerSecond;
  }

  /** What to tell the host now. */
  look({ nowMs, framesPerSecond, hidden }: Pace & { nowMs: number }): Pace | undefined {
    const share = framesPerSecond / this.#wanted;
    if (share < SLOW_SHARE) {
      this.#slowSinceMs ??= nowMs;
      if (nowMs - this.#slowSinceMs >= PATIENCE_MS) this.#told = { framesPerSecond, hidden, atMs: nowMs };
    } else if (share > WELL_SHARE) {
      this.#slowSinceMs = undefined;
      if (this.#told !== undefined && nowMs - this.#told.atMs >= (this.#told.hidden ? AFTERGLOW_MS : 0)) {
        this.#told = undefined;
      }
    }
    if (this.#told === undefined) return undefined;
    return { framesPerSecond: this.#told.framesPerSecond, hidden: this.#told.hidden };
  }
}
