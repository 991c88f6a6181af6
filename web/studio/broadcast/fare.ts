/** How a destination fares, beyond its state: in short words, and only what is out of the ordinary. */

import type { Destination } from "@castgate/client";

/** A server that is further behind than this is worth a word, in milliseconds. */
const BEHIND_MS = 2_000;

/** What a host should know of a destination besides its state and its failure. */
export function fareOf(destination: Destination): string[] {
  const { state, queueMs = 0, using, backup, heldBack, paused, catchingUp } = destination;
  const behind = `${(queueMs / 1000).toFixed(0)} s behind`;
  const open = state === "live" || state === "connecting" || state === "retrying";
  return [
    ...(paused && state === "live" ? ["Paused: viewers there see your slate."] : []),
    ...(heldBack ? ["Waits a while before the next try, so that no many short videos come to be."] : []),
    ...(open && using === "backup" && !backup ? ["On the backup server."] : []),
    ...(state === "live" && queueMs >= BEHIND_MS
      ? [catchingUp ? `Catching up, ${behind}.` : `${behind}.`]
      : []),
  ];
}
