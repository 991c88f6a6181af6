/** Which of many timer ticks become frames: a steady rate without drift and without catching up. */

export class Cadence {
  readonly intervalMs: number;
  #dueMs: number | undefined;

  constructor(framesPerSecond: number) {
    this.intervalMs = 1000 / framesPerSecond;
  }

  /**
   * Whether a frame is to be drawn at this tick.
   *
   * A tick may be early by an eighth of the interval, since a display's ticks seldom meet a frame exactly.
   * After a stall the missed frames are skipped.
   */
  take(nowMs: number): boolean {
    if (this.#dueMs === undefined) this.#dueMs = nowMs;
    if (nowMs < this.#dueMs - this.intervalMs / 8) return false;
    this.#dueMs += this.intervalMs;
    if (this.#dueMs < nowMs - this.intervalMs) this.#dueMs = nowMs + this.intervalMs;
    return true;
  }
}
