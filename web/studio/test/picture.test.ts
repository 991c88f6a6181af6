import type { Broadcast, BroadcastPatch, CastgateApi } from "@castgate/client";
import { signal } from "@preact/signals";
import { expect, test } from "vitest";
import { engineInWords, PictureDesk } from "../broadcast/picture-desk.ts";
import { PRESETS, renditionInWords } from "../broadcast/renditions.ts";
import { PLAIN_DRAFT, requestOf } from "../broadcast/roster.ts";

const live = (part: Partial<Broadcast>): Broadcast => ({
  id: "b",
  state: "live",
  whipUrl: "/whip/b",
  destinations: [],
  ...part,
});

test("what the gateway does with the picture is told in one sentence", () => {
  const h264 = { protocol: "whip", video: { codec: "h264" } };
  const vp8 = { protocol: "whip", video: { codec: "VP8" } };

  expect(engineInWords(live({ ingest: h264, egress: { video: "passthrough" }, method: "gstreamer" }))).toBe(
    "H.264 is passed through as it is.",
  );
  expect(engineInWords(live({ ingest: vp8, egress: { video: "transcode" }, method: "gstreamer" }))).toBe(
    "VP8 is encoded anew as H.264, by GStreamer.",
  );
  const running = {
    video: "transcode",
    engine: "ffmpeg",
    engineState: "running",
    width: 640,
    height: 360,
  } as const;
  expect(engineInWords(live({ ingest: vp8, egress: running }))).toBe(
    "VP8 is encoded anew as H.264 of 640 × 360, by FFmpeg.",
  );
  expect(engineInWords(live({ ingest: vp8, egress: { ...running, engineState: "failing" } }))).toBe(
    "VP8 cannot be encoded by FFmpeg now: it is tried again.",
  );
  expect(engineInWords(live({}))).toBe("");
});

test("wishes go with a new broadcast, and to one on air at once", async () => {
  const broadcast = signal<Broadcast | undefined>(undefined);
  const changes: BroadcastPatch[] = [];
  const api = {
    changeBroadcast: (_: string, change: BroadcastPatch) => {
      if (change.method === "ffmpeg") return Promise.reject(new Error("there is no FFmpeg"));
      changes.push(change);
      return Promise.resolve();
    },
  } as unknown as CastgateApi;
  const desk = new PictureDesk(api, broadcast);
  expect(desk.request()).toEqual({});

  await desk.change({ method: "gstreamer", transcode: true });
  expect(desk.request()).toEqual({ method: "gstreamer", video: { mode: "transcode" } });
  expect(changes).toEqual([]);

  broadcast.value = live({});
  await desk.change({ transcode: false });
  await desk.change({ method: "ffmpeg" });

  expect(changes).toEqual([{ video: { mode: "auto" } }]);
  expect(desk.problem.value).toBe("There is no FFmpeg.");
  expect(desk.wishes.value.method).toBe("gstreamer");
});

test("a rendition is told by its name and shown by its numbers", () => {
  const [preset] = PRESETS;
  if (preset === undefined) throw new Error("there is no preset");
  const { name } = preset;

  expect(renditionInWords(preset)).toBe("360p, 24 frames/s, 0.6 Mb/s");
  const draft = { ...PLAIN_DRAFT, id: "d", platform: "custom" as const, rtmpUrl: "rtmp://h/a/k" };
  expect(requestOf(draft, "b").rendition).toBeUndefined();
  expect(requestOf({ ...draft, rendition: name }, "b").rendition).toEqual({ preset: name });
});
