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

test("another codec is offered alone where it is wanted, in the profile that platforms take", () => {
  const vp9 = (profile: number): { mimeType: string; sdpFmtpLine: string } => ({
    mimeType: "video/VP9",
    sdpFmtpLine: `profile-id=${profile}`,
  });
  const offered = [h264("42e01f", 1), { mimeType: "video/VP8" }, vp9(2), vp9(0), { mimeType: "video/rtx" }];

  expect(byPreference(offered, "vp8")).toEqual([{ mimeType: "video/VP8" }, { mimeType: "video/rtx" }]);
  expect(byPreference(offered, "vp9")).toEqual([vp9(0), { mimeType: "video/rtx" }]);
  expect(byPreference(offered, "av1").length).toBe(offered.length);
});
