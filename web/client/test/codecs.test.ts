import { expect, test } from "vitest";
import { byPreference } from "../src/codecs.ts";

const h264 = (profile: string, mode: number): { mimeType: string; sdpFmtpLine: string } => ({
  mimeType: "video/H264",
  sdpFmtpLine: `level-asymmetry-allowed=1;packetization-mode=${mode};profile-level-id=${profile}`,
});

test("constrained baseline in mode 1 comes first, repair codecs last", () => {
  const offered = [
    { mimeType: "video/VP8" },
    { mimeType: "video/rtx" },
    h264("42001f", 0),
    h264("4d001f", 1),
    { mimeType: "video/AV1" },
    h264("42e01f", 0),
    h264("42e01f", 1),
    { mimeType: "video/ulpfec" },
  ];

  const order = byPreference(offered);

  expect(order.slice(0, 2)).toEqual([h264("42e01f", 1), h264("4d001f", 1)]);
  expect(order.slice(2, 4)).toEqual([h264("42e01f", 0), h264("42001f", 0)]);
  expect(order.slice(4).map(({ mimeType }) => mimeType)).toEqual([
    "video/VP8",
    "video/AV1",
    "video/rtx",
    "video/ulpfec",
  ]);
});
