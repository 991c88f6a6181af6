/** Which instant of the audio clock an instant of the page's clock is, although audio is rendered in bursts. */

/** How far back is looked, in milliseconds: long enough for many bursts, short enough to follow a glitch. */
const WINDOW_MS = 2_000;

export class AudioClock {
  /** How far the audio clock was ahead of the page's clock, at recent instants. */
  #leads: { atMs: number; seconds: number }[] = [];

  /** Notes both clocks at one instant; to be called with every frame. */
  observe(nowMs: number, contextSeconds: number): void {
    this.#leads = this.#leads.filter(({ atMs }) => atMs > nowMs - WINDOW_MS);
    this.#leads.push({ atMs: nowMs, seconds: contextSeconds - nowMs / 1000 });
  }

  /**
   * The audio clock's time at an instant of the page's clock.
   *
   * Just after a burst the clock stands furthest ahead; between bursts, and when one is late, it stands
   * behind by chance. So the furthest lead counts, and what is scheduled by it lies in the future by at
   * most one burst.
   */
  secondsAt(nowMs: number): number | undefined {
    if (this.#leads.length === 0) return undefined;
    return nowMs / 1000 + Math.max(...this.#leads.map(({ seconds }) => seconds));
  }
}
