/** What the page's address may ask for; scripts and tests open the studio with it. */

import type { VideoCodecName } from "@castgate/client";
import type { Layout, Size } from "../compositor/layout.ts";

export type PictureName = "test" | "camera" | "screen" | "none";
export type PatternName = "motion" | "flash";

export interface Parameters {
  source: PictureName;
  pattern: PatternName;
  size: Size;
  layout: Layout;
  framesPerSecond: number;
  videoKbps: number;
  /** What the browser is to send; H.264 goes out as it is, the others cost the gateway an encoder. */
  videoCodec: VideoCodecName;
  title: string;
  subtitle: string;
  broadcast?: string;
  goLive: boolean;
  destinations: string[];
  token?: string;
}

export const SIZES: readonly Size[] = [
  { width: 1280, height: 720 },
  { width: 1920, height: 1080 },
];

export const FRAME_RATES: readonly number[] = [25, 30, 60];
export const VIDEO_KBPS: readonly number[] = [2500, 4500, 6000, 9000];

const SMALLEST = 64;
const LARGEST = 3840;

/** Reads query and fragment; the fragment never leaves the browser, so keys and tokens belong there. */
export function readParameters(search: string, hash: string): Parameters {
  const query = new URLSearchParams(search);
  const fragment = new URLSearchParams(hash.replace(/^#/, ""));
  const first = (name: string): string | undefined => fragment.get(name) ?? query.get(name) ?? undefined;
  const broadcast = first("broadcast");
  const token = fragment.get("token");
  return {
    source: oneOf(["test", "camera", "screen"], first("source")) ?? "test",
    pattern: oneOf(["motion", "flash"], first("pattern")) ?? "motion",
    size: size(first("size")) ?? { width: 1280, height: 720 },
    layout: oneOf(["full", "picture-in-picture", "side-by-side"], first("layout")) ?? "full",
    framesPerSecond: whole(first("fps"), 5, 60) ?? 30,
    videoKbps: whole(first("kbps"), 200, 20_000) ?? 4500,
    videoCodec: oneOf(["h264", "vp8", "vp9", "av1"], first("codec")?.toLowerCase()) ?? "h264",
    title: first("title") ?? "",
    subtitle: first("subtitle") ?? "",
    ...(broadcast !== undefined && /^[\w-]{1,64}$/.test(broadcast) ? { broadcast } : {}),
    goLive: ["1", "true"].includes(first("golive") ?? ""),
    destinations: [...query.getAll("destination"), ...fragment.getAll("destination")],
    ...(token === null || token === "" ? {} : { token }),
  };
}

function oneOf<T extends string>(words: readonly T[], text: string | undefined): T | undefined {
  return words.find((word) => word === text);
}

function size(text: string | undefined): Size | undefined {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text ?? "");
  const width = Number(match?.[1]);
  const height = Number(match?.[2]);
  const valid = (side: number): boolean => side >= SMALLEST && side <= LARGEST && side % 2 === 0;
  return valid(width) && valid(height) ? { width, height } : undefined;
}

function whole(text: string | undefined, least: number, most: number): number | undefined {
  const value = Number(text ?? Number.NaN);
  return Number.isInteger(value) && value >= least && value <= most ? value : undefined;
}
