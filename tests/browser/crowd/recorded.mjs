// What Chromium 156 with mediasoup-client 3.24.1 says of its tracks and its certificate, with numbers of its own for each.

let ssrcs = 1000;

/** A certificate that nobody has. */
export function dtlsParameters() {
  const bytes = Array.from({ length: 32 }, () => Math.floor(Math.random() * 256));
  const value = bytes.map((byte) => byte.toString(16).padStart(2, "0").toUpperCase()).join(":");
  return { role: "client", fingerprints: [{ algorithm: "sha-256", value }] };
}

const feedback = (...pairs) =>
  pairs.map((pair) => ({ type: pair.split(" ")[0], parameter: pair.split(" ")[1] ?? "" }));
const extension = (uri, id) => ({ uri, id, encrypt: false, parameters: {} });
const EXTENSIONS = [
  extension("urn:ietf:params:rtp-hdrext:sdes:mid", 4),
  extension("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", 2),
  extension("http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", 3),
];

/** A microphone's or a camera's track; `mid` tells it from others of its transport. */
export function rtpParameters(kind, mid) {
  ssrcs += 2;
  const rtcp = { cname: `cname-${ssrcs}`, reducedSize: true };
  if (kind === "audio") {
    const codec = {
      mimeType: "audio/opus",
      payloadType: 111,
      clockRate: 48000,
      channels: 2,
      parameters: { minptime: 10, useinbandfec: 1, "sprop-stereo": 1, usedtx: 0 },
      rtcpFeedback: feedback("transport-cc"),
    };
    const level = extension("urn:ietf:params:rtp-hdrext:ssrc-audio-level", 1);
    const encodings = [{ ssrc: ssrcs, dtx: false }];
    return { mid, codecs: [codec], headerExtensions: [...EXTENSIONS, level], encodings, rtcp };
  }
  const codecs = [
    {
      mimeType: "video/VP8",
      payloadType: 96,
      clockRate: 90000,
      parameters: {},
      rtcpFeedback: feedback("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"),
    },
    { mimeType: "video/rtx", payloadType: 97, clockRate: 90000, parameters: { apt: 96 }, rtcpFeedback: [] },
  ];
  const encodings = [{ ssrc: ssrcs, rtx: { ssrc: ssrcs + 1 }, dtx: false }];
  return { mid, codecs, headerExtensions: EXTENSIONS, encodings, rtcp };
}
