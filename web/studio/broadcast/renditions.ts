/** The sizes in which a destination may get the show, by the gateway's names for them. */

import type { Rendition } from "@castgate/client";

export interface Preset extends Rendition {
  name: string;
}

/** The gateway's ladder by height, without the sizes that no computer encodes beside a studio. */
export const PRESETS: readonly Preset[] = [
  { name: "360p-very-low", width: 640, height: 360, framesPerSecond: 24, bitrateKbps: 600 },
  { name: "480p-low", width: 854, height: 480, framesPerSecond: 30, bitrateKbps: 1200 },
  { name: "720p-medium", width: 1280, height: 720, framesPerSecond: 30, bitrateKbps: 2500 },
  { name: "720p-high", width: 1280, height: 720, framesPerSecond: 30, bitrateKbps: 3500 },
  { name: "1080p-medium", width: 1920, height: 1080, framesPerSecond: 30, bitrateKbps: 4000 },
  { name: "1080p-high", width: 1920, height: 1080, framesPerSecond: 30, bitrateKbps: 6000 },
];

/** One line of words. */
export function renditionInWords({ height, framesPerSecond, bitrateKbps }: Rendition): string {
  return `${height}p, ${framesPerSecond} frames/s, ${(bitrateKbps / 1000).toFixed(1)} Mb/s`;
}
