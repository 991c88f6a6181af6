import { expect, test } from "vitest";
import { uplinkFromReport } from "../src/uplink.ts";

const report = (framesSent: number, bytesSent: number): [string, unknown][] =>
  [
    {
      id: "v",
      type: "outbound-rtp",
      kind: "video",
      codecId: "cv",
      framesSent,
      bytesSent,
      frameWidth: 1280,
      frameHeight: 720,
      qualityLimitationReason: "cpu",
    },
    {
      id: "a",
      type: "outbound-rtp",
      kind: "audio",
      codecId: "ca",
      bytesSent: bytesSent / 10,
      packetsSent: 50,
    },
    { id: "cv", type: "codec", mimeType: "video/H264" },
    { id: "ca", type: "codec", mimeType: "audio/opus", channels: 2 },
    { id: "t", type: "transport", selectedCandidatePairId: "p" },
    { id: "p", type: "candidate-pair", currentRoundTripTime: 0.012, availableOutgoingBitrate: 5e6 },
    { id: "r", type: "remote-inbound-rtp", packetsLost: 3 },
  ].map((entry) => [entry.id, entry]);

test("rates come from two reports", () => {
  const before = uplinkFromReport(report(100, 1_000_000), 1000);
  const now = uplinkFromReport(report(130, 1_500_000), 2000, before);

  expect(before.framesPerSecond).toBe(0);
  expect(now).toMatchObject({
    framesPerSecond: 30,
    videoKbps: 4000,
    audioKbps: 400,
    videoCodec: "video/H264",
    audioChannels: 2,
    width: 1280,
    qualityLimitation: "cpu",
    roundTripMs: 12,
    availableKbps: 5000,
    packetsLost: 3,
  });
});

test("two reports at nearly the same time keep the rates of the first", () => {
  const before = { ...uplinkFromReport(report(100, 1000), 1000), framesPerSecond: 29 };

  expect(uplinkFromReport(report(101, 1100), 1100, before).framesPerSecond).toBe(29);
});

test("counters that begin anew do not give negative rates", () => {
  const before = uplinkFromReport(report(100, 1_000_000), 1000);

  expect(uplinkFromReport(report(5, 10_000), 2000, before)).toMatchObject({
    framesPerSecond: 0,
    videoKbps: 0,
  });
});

test("an empty report is all nothing", () => {
  expect(uplinkFromReport([], 0)).toMatchObject({ framesSent: 0, qualityLimitation: "none", packetsLost: 0 });
});
