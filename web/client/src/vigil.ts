/** Decides from what is seen of a connection whether it still carries the show. Pure: time is an argument. */

/** One look at a connection. */
export interface Sighting {
  /** Wall-clock milliseconds: other clocks stand still while a computer sleeps. */
  nowMs: number;
  state: RTCPeerConnectionState;
  /** All that has been received; `undefined` where the browser does not tell. */
  heardBytes?: number | undefined;
}

/** `restart`: new ICE credentials may help. `replace`: only a new connection does. */
export type Verdict = "fine" | "restart" | "replace";

/** How long ICE may be interrupted: shorter interruptions heal by themselves. */
const INTERRUPTION_PATIENCE_MS = 2_000;

/** How long nothing may be heard of a connection that claims to be up; a gateway reports several times a second. */
const SILENCE_PATIENCE_MS = 4_000;

/** How long a connection may take to prove itself after something that often breaks connections. */
const HINTED_PATIENCE_MS = 1_000;

/** A longer pause between two looks means that the computer or the tab has slept. */
const ASLEEP_MS = 5_000;

export class Vigil {
  #lookedAtMs: number | undefined;
  #downSinceMs: number | undefined;
  #heardBytes: number | undefined;
  #heardAtMs = 0;
  #hint: { sinceMs: number; heardBytes: number | undefined } | undefined;
  #hinted = false;

  /** Tells that something happened that often breaks connections: the next looks are less patient. */
  hint(): void {
    this.#hinted = true;
  }

  look({ nowMs, state, heardBytes }: Sighting): Verdict {
    this.#notice(nowMs, heardBytes);
    if (state === "closed") return "replace";
    if (state === "failed") return "restart";
    if (state === "disconnected") this.#downSinceMs ??= nowMs;
    else this.#downSinceMs = undefined;

    const hint = this.#hint;
    const doubted = hint !== undefined && nowMs - hint.sinceMs >= HINTED_PATIENCE_MS;
    if (this.#downSinceMs !== undefined) {
      return doubted || nowMs - this.#downSinceMs >= INTERRUPTION_PATIENCE_MS ? "restart" : "fine";
    }
    if (heardBytes === undefined) {
      if (doubted) this.#hint = undefined;
      return "fine";
    }
    return doubted || nowMs - this.#heardAtMs >= SILENCE_PATIENCE_MS ? "restart" : "fine";
  }

  /** Notes what was heard, and whether this look comes after a sleep. */
  #notice(nowMs: number, heardBytes: number | undefined): void {
    const before = this.#lookedAtMs;
    this.#lookedAtMs = nowMs;
    const slept = before !== undefined && (nowMs - before > ASLEEP_MS || nowMs < before);
    if (before === undefined || slept) {
      this.#heardAtMs = nowMs;
      this.#downSinceMs = undefined;
    }
    if (heardBytes !== this.#heardBytes) {
      this.#heardBytes = heardBytes;
      this.#heardAtMs = nowMs;
    }
    if (slept || this.#hinted) {
      this.#hinted = false;
      this.#hint = { sinceMs: nowMs, heardBytes };
    } else if (this.#hint !== undefined && heardBytes !== this.#hint.heardBytes) {
      this.#hint = undefined;
    }
  }
}
