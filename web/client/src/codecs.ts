/** Which codec a studio should send: H.264 passes through the gateway to every platform untouched. */

/** Constrained Baseline first: what browsers encode, and what every platform decodes. */
const H264_PROFILES = ["42e0", "4200", "4d00", "640c", "6400"];

/** The codecs in order of preference: H.264 in packetization mode 1 by profile, then the rest as they were. */
export function byPreference<T extends { mimeType: string; sdpFmtpLine?: string }>(
  codecs: readonly T[],
): T[] {
  return codecs
    .map((codec, index) => ({ codec, index, rank: rank(codec) }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ codec }) => codec);
}

/** Prefers H.264 on a transceiver where the browser lets us. */
export function preferH264(transceiver: RTCRtpTransceiver): void {
  const capabilities = RTCRtpSender.getCapabilities?.("video");
  if (capabilities === null || capabilities === undefined) return;
  try {
    transceiver.setCodecPreferences(byPreference(capabilities.codecs));
  } catch {
    // Browsers that want receive codecs here keep their own order, and the gateway's answer decides.
  }
}

function rank(codec: { mimeType: string; sdpFmtpLine?: string }): number {
  const repair = H264_PROFILES.length * 2 + 2;
  if (/\/(rtx|red|ulpfec|flexfec-03)$/i.test(codec.mimeType)) return repair;
  if (codec.mimeType.toLowerCase() !== "video/h264") return repair - 1;
  const parameters = codec.sdpFmtpLine ?? "";
  const profile = /profile-level-id=([0-9a-f]{4})/i.exec(parameters)?.[1]?.toLowerCase();
  const place = profile === undefined ? -1 : H264_PROFILES.indexOf(profile);
  const byProfile = place < 0 ? H264_PROFILES.length : place;
  return /packetization-mode=1/.test(parameters) ? byProfile : byProfile + H264_PROFILES.length + 1;
}
