/** Which codec a studio should send: H.264 passes through the gateway to every platform untouched. */

/** What browsers send; everything but H.264 costs the gateway an encoder. */
export type VideoCodecName = "h264" | "vp8" | "vp9" | "av1";

/** Constrained Baseline first: what browsers encode, and what every platform decodes. */
const H264_PROFILES = ["42e0", "4200", "4d00", "640c", "6400"];

/** Profile 0 alone has the colours that platforms take. */
const VP9_PROFILE = /profile-id=(?!0)/;

/**
 * What to offer, in order of preference. H.264: by profile, then the rest as they were. Another codec: that one alone with
 * what repairs it, since a gateway that is offered H.264 takes it; the rest too where the browser does not have it.
 */
export function byPreference<T extends { mimeType: string; sdpFmtpLine?: string }>(
  codecs: readonly T[],
  wanted: VideoCodecName = "h264",
): T[] {
  const ranked = codecs
    .map((codec, index) => ({ codec, index, rank: rank(codec, wanted) }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index);
  const isAlone = wanted !== "h264" && ranked[0]?.rank === 0;
  return ranked.filter(({ rank: place }) => !isAlone || place !== OTHER).map(({ codec }) => codec);
}

/** Prefers a codec on a transceiver where the browser lets us. */
export function preferCodec(transceiver: RTCRtpTransceiver, wanted: VideoCodecName): void {
  const capabilities = RTCRtpSender.getCapabilities?.("video");
  if (capabilities === null || capabilities === undefined) return;
  try {
    transceiver.setCodecPreferences(byPreference(capabilities.codecs, wanted));
  } catch {
    // Browsers that want receive codecs here keep their own order, and the gateway's answer decides.
  }
}

/** Places in the order: behind all profiles of H.264 come other codecs, and behind these what repairs. */
const OTHER = H264_PROFILES.length * 2 + 1;
const REPAIR = OTHER + 1;

function rank(codec: { mimeType: string; sdpFmtpLine?: string }, wanted: VideoCodecName): number {
  if (/\/(rtx|red|ulpfec|flexfec-03)$/i.test(codec.mimeType)) return REPAIR;
  const parameters = codec.sdpFmtpLine ?? "";
  if (codec.mimeType.toLowerCase() !== `video/${wanted}` || VP9_PROFILE.test(parameters)) return OTHER;
  if (wanted !== "h264") return 0;
  const profile = /profile-level-id=([0-9a-f]{4})/i.exec(parameters)?.[1]?.toLowerCase();
  const place = profile === undefined ? -1 : H264_PROFILES.indexOf(profile);
  const byProfile = place < 0 ? H264_PROFILES.length : place;
  return /packetization-mode=1/.test(parameters) ? byProfile : byProfile + H264_PROFILES.length + 1;
}
