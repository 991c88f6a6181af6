/** What happened to the broadcast, with its time, for tests and for measurements. */

export interface Entry {
  /** Milliseconds since 1970. */
  at: number;
  /** Such as `live`, `reconnecting`, `showing_slate`, `alarm_raised`. */
  what: string;
  detail?: string;
}

/** Entries kept. */
const KEPT = 200;

export class Journal {
  readonly #entries: Entry[] = [];

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  note(what: string, detail?: string, at: number = Date.now()): void {
    this.#entries.push({ at, what, ...(detail === undefined ? {} : { detail }) });
    if (this.#entries.length > KEPT) this.#entries.shift();
  }
}
