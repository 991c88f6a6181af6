/** How the studio's own connection fares: the browser's figures beside the gateway's. */

import type { JSX } from "preact";
import { useDesk } from "./context.ts";
import { bitrate, codecName, figure } from "./format.ts";

const LIMITATION_WORDS: Readonly<Record<string, string>> = {
  none: "Nothing",
  cpu: "This computer is too busy",
  bandwidth: "The network is too slow",
  other: "The browser",
};

export function Uplink(): JSX.Element | null {
  const { session } = useDesk();
  const uplink = session.uplink.value;
  if (uplink === undefined) return null;
  const ingest = session.broadcast.value?.ingest;
  const size = uplink.width === undefined ? "–" : `${uplink.width} × ${uplink.height}`;
  const rows: [string, string][] = [
    ["Frames sent", figure(uplink.framesPerSecond, "per second", 0)],
    ["Picture", `${codecName(uplink.videoCodec)}, ${size}`],
    ["Picture bitrate", bitrate(uplink.videoKbps)],
    ["Sound", `${codecName(uplink.audioCodec)}, ${bitrate(uplink.audioKbps)}`],
    ["Keyframe every", figure(seconds(ingest?.video?.keyframeIntervalMs), "s", 1)],
    ["Round trip", figure(uplink.roundTripMs, "ms", 0)],
    ["Limited by", LIMITATION_WORDS[uplink.qualityLimitation] ?? uplink.qualityLimitation],
    ["Packets lost", figure(ingest?.packetsLost ?? uplink.packetsLost)],
    ["Reconnects", figure(session.reconnects.value)],
  ];
  return (
    <section class="panel" aria-labelledby="uplink-heading">
      <h2 id="uplink-heading">Uplink</h2>
      <dl class="figures">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function seconds(milliseconds: number | null | undefined): number | undefined {
  return milliseconds === null || milliseconds === undefined ? undefined : milliseconds / 1000;
}
