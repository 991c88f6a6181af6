/** What the browser itself says about the stream it sends, in one flat record. */

export interface UplinkStatistics {
  /** When it was measured, in milliseconds of the page's clock. */
  at: number;
  videoCodec?: string;
  audioCodec?: string;
  audioChannels?: number;
  width?: number;
  height?: number;
  framesEncoded: number;
  framesSent: number;
  keyframesEncoded: number;
  /** Per second, since the measurement before. */
  framesPerSecond: number;
  videoKbps: number;
  audioKbps: number;
  videoBytesSent: number;
  audioBytesSent: number;
  audioPacketsSent: number;
  retransmittedPackets: number;
  pictureLossIndications: number;
  /** `none`, `cpu`, `bandwidth` or `other`. */
  qualityLimitation: string;
  roundTripMs?: number;
  availableKbps?: number;
  packetsLost: number;
}

/** The least time between two reports that rates can be taken from, in seconds. */
const LEAST_SPAN_SECONDS = 0.25;

type Entry = Record<string, unknown> & { type: string; id: string };

/** Reads a report; rates need the measurement before. */
export function uplinkFromReport(
  report: Iterable<readonly [string, unknown]>,
  at: number,
  before?: UplinkStatistics,
): UplinkStatistics {
  const entries = new Map([...report].map(([id, entry]) => [id, entry as Entry]));
  const all = [...entries.values()];
  const outbound = (kind: string): Entry | undefined =>
    all.find((entry) => entry.type === "outbound-rtp" && entry.kind === kind);
  const video = outbound("video");
  const audio = outbound("audio");
  const codec = (entry: Entry | undefined): Entry | undefined => entries.get(text(entry, "codecId") ?? "");
  const remote = all.filter((entry) => entry.type === "remote-inbound-rtp");
  const pair =
    entries.get(
      text(
        all.find((entry) => entry.type === "transport"),
        "selectedCandidatePairId",
      ) ?? "",
    ) ??
    all.find(
      (entry) => entry.type === "candidate-pair" && entry.nominated === true && entry.state === "succeeded",
    );

  const elapsed = before === undefined ? 0 : (at - before.at) / 1000;
  const rate = (now: number, then: number): number =>
    elapsed > 0 && now >= then ? (now - then) / elapsed : 0;
  // Two reports at nearly the same time say nothing about rates: those of the one before stand.
  const steady = before !== undefined && elapsed < LEAST_SPAN_SECONDS;
  const framesSent = count(video, "framesSent");
  const videoBytesSent = count(video, "bytesSent");
  const audioBytesSent = count(audio, "bytesSent");
  const roundTrip = number(pair, "currentRoundTripTime") ?? number(remote[0], "roundTripTime");
  const available = number(pair, "availableOutgoingBitrate");
  return {
    at,
    ...present("videoCodec", text(codec(video), "mimeType")),
    ...present("audioCodec", text(codec(audio), "mimeType")),
    ...present("audioChannels", number(codec(audio), "channels")),
    ...present("width", number(video, "frameWidth")),
    ...present("height", number(video, "frameHeight")),
    framesEncoded: count(video, "framesEncoded"),
    framesSent,
    keyframesEncoded: count(video, "keyFramesEncoded"),
    framesPerSecond: steady ? before.framesPerSecond : rate(framesSent, before?.framesSent ?? 0),
    videoKbps: steady ? before.videoKbps : (rate(videoBytesSent, before?.videoBytesSent ?? 0) * 8) / 1000,
    audioKbps: steady ? before.audioKbps : (rate(audioBytesSent, before?.audioBytesSent ?? 0) * 8) / 1000,
    videoBytesSent,
    audioBytesSent,
    audioPacketsSent: count(audio, "packetsSent"),
    retransmittedPackets: count(video, "retransmittedPacketsSent"),
    pictureLossIndications: count(video, "pliCount"),
    qualityLimitation: text(video, "qualityLimitationReason") ?? "none",
    ...present("roundTripMs", roundTrip === undefined ? undefined : roundTrip * 1000),
    ...present("availableKbps", available === undefined ? undefined : available / 1000),
    packetsLost: remote.reduce((sum, entry) => sum + count(entry, "packetsLost"), 0),
  };
}

function number(entry: Entry | undefined, name: string): number | undefined {
  const value = entry?.[name];
  return typeof value === "number" ? value : undefined;
}

function count(entry: Entry | undefined, name: string): number {
  return number(entry, name) ?? 0;
}

function text(entry: Entry | undefined, name: string): string | undefined {
  const value = entry?.[name];
  return typeof value === "string" ? value : undefined;
}

function present<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
