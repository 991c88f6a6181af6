/** What survives a reload of the page: enough to take the broadcast over again, and no stream key. */

import type { PictureName } from "./parameters.ts";

export interface Memory {
  broadcast: string;
  resumeToken?: string;
  /** Whether this page made the broadcast, and so may end it. */
  owned: boolean;
  main: PictureName;
  second: PictureName;
}

const KEY = "castgate.broadcast";

/** A place for text, as `sessionStorage` is; it may throw, as that does in some private windows. */
export type TextStore = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export function remember(memory: Memory, store: TextStore = sessionStorage): void {
  try {
    store.setItem(KEY, JSON.stringify(memory));
  } catch {
    // Without storage a reload ends in a new broadcast, which is no reason to stop this one.
  }
}

export function forget(store: TextStore = sessionStorage): void {
  try {
    store.removeItem(KEY);
  } catch {
    // See above.
  }
}

export function recall(store: TextStore = sessionStorage): Memory | undefined {
  try {
    const value: unknown = JSON.parse(store.getItem(KEY) ?? "null");
    return isMemory(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isMemory(value: unknown): value is Memory {
  if (typeof value !== "object" || value === null) return false;
  const { broadcast, owned, main, second } = value as Partial<Memory>;
  return [broadcast, main, second].every((word) => typeof word === "string") && typeof owned === "boolean";
}
