/** What survives a reload of the page: enough to take the broadcast over again by itself, and no stream key. */

import type { Layout, Size } from "../compositor/layout.ts";
import type { Title } from "../compositor/overlay.ts";
import type { PatternName, PictureName } from "./parameters.ts";

/** How the programme was put together. */
export interface SceneMemory {
  main: PictureName;
  second: PictureName;
  pattern: PatternName;
  layout: Layout;
  title: Title;
  size: Size;
  framesPerSecond: number;
  videoKbps: number;
  microphoneOn: boolean;
  tuneOn: boolean;
}

export interface Memory {
  broadcast: string;
  whipUrl: string;
  resumeToken?: string;
  spareResumeTokens?: readonly string[];
  /** The access token, where the gateway asks for one: without it a reloaded page could not come back alone. */
  accessToken?: string;
  /** Whether this page made the broadcast, and so may end it. */
  owned: boolean;
  liveSince?: number;
  scene?: SceneMemory;
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
  const { broadcast, whipUrl, owned, scene } = value as Partial<Memory>;
  const named = [broadcast, whipUrl].every((word) => typeof word === "string");
  return named && typeof owned === "boolean" && (scene === undefined || isScene(scene));
}

function isScene(value: SceneMemory): boolean {
  return (
    [value.main, value.second, value.pattern, value.layout].every((word) => typeof word === "string") &&
    [value.size?.width, value.size?.height, value.framesPerSecond, value.videoKbps].every(Number.isFinite) &&
    typeof value.title?.headline === "string" &&
    typeof value.title.subline === "string"
  );
}
