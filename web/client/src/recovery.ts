/** What to do about a lost connection: which cure, with which token, and when to give up. Pure. */

import type { CastgateError } from "./errors.ts";

/** Why there is no use in trying again. */
export type Ending =
  /** Another studio publishes to the broadcast now. */
  | "taken_over"
  /** The broadcast is over, or unknown to the gateway. */
  | "ended"
  /** The gateway does not take what this studio sends, or does not let it in. */
  | "refused";

/** Whether an error is final; `undefined` when trying again may help, as long as the broadcast lives. */
export function endingOf({ code, status }: CastgateError): Ending | undefined {
  if (status === 0) return code === "misuse" ? "refused" : undefined;
  if (status === 409 || code === "resume_token_refused") return "taken_over";
  if (status === 404 || status === 410) return "ended";
  // Answers that no gateway gives come from a proxy or a hotel's login page in between.
  const passing = status < 400 || status === 408 || status === 425 || status === 429 || status >= 500;
  return passing ? undefined : "refused";
}

export type Cure = "restart" | "replace";

/** Gateways forget a session that has been silent for longer: asking for a restart would only cost time. */
const RESTART_WINDOW_MS = 25_000;

/** New ICE credentials first, since then the picture goes on; a new connection when that cannot help any more. */
export function cureFor(trouble: { verdict: Cure; restartFailed: boolean; downMs: number }): Cure {
  const hopeless =
    trouble.verdict === "replace" || trouble.restartFailed || trouble.downMs > RESTART_WINDOW_MS;
  return hopeless ? "replace" : "restart";
}

/** Tokens that may be right although their connection was never seen to come up. */
const SPARE_TOKENS = 4;

/**
 * The resume tokens of one studio.
 *
 * Each answer brings a new token, which becomes the only right one when its connection comes up. When that
 * is not seen to happen, because the answer or the connection got lost, either may be the right one.
 */
export class ResumeTokens {
  #confirmed: string | undefined;
  #offered: string[];

  constructor(confirmed?: string, offered: readonly string[] = []) {
    this.#confirmed = confirmed;
    this.#offered = [...offered];
  }

  /** All that may be right, the likeliest first. */
  get all(): string[] {
    return [...(this.#confirmed === undefined ? [] : [this.#confirmed]), ...this.#offered];
  }

  /** An answer brought this token. */
  offer(token: string): void {
    if (token === this.#confirmed) return;
    this.#offered = [token, ...this.#offered.filter((each) => each !== token)].slice(0, SPARE_TOKENS);
  }

  /** The connection of this token came up: no other is right any more. */
  confirm(token: string): void {
    this.#confirmed = token;
    this.#offered = [];
  }
}
