import { CastgateError } from "@castgate/client";
import { expect, test } from "vitest";
import { forget, recall, remember, type TextStore } from "../broadcast/memory.ts";
import { readParameters } from "../broadcast/parameters.ts";
import { addressMistake, PLATFORMS, serverOf } from "../broadcast/platforms.ts";
import { errorInWords, failureInWords } from "../broadcast/words.ts";
import { bitrate, clock, codecName } from "../ui/format.ts";

test("an empty address gives the newcomer's studio", () => {
  expect(readParameters("", "")).toEqual({
    source: "test",
    pattern: "motion",
    size: { width: 1280, height: 720 },
    layout: "full",
    framesPerSecond: 30,
    videoKbps: 4500,
    videoCodec: "h264",
    title: "",
    subtitle: "",
    goLive: false,
    destinations: [],
  });
});

test("a script's address is read, keys byte for byte", () => {
  const search =
    "?source=camera&pattern=flash&codec=VP9&size=1920x1080&broadcast=b_1&golive=1&destination=rtmp%3A%2F%2Fh%2Fa%2Fk%3Fx%3D1%26y";

  const parameters = readParameters(search, "#token=t&destination=local");

  expect(parameters).toMatchObject({
    source: "camera",
    pattern: "flash",
    videoCodec: "vp9",
    size: { width: 1920, height: 1080 },
    broadcast: "b_1",
    goLive: true,
    token: "t",
    destinations: ["rtmp://h/a/k?x=1&y", "local"],
  });
});

test("what makes no sense in an address is passed over", () => {
  const parameters = readParameters("?size=1x1&fps=900&source=x&broadcast=../etc&kbps=-1&token=leak", "");

  expect(parameters).toMatchObject({
    size: { width: 1280, height: 720 },
    framesPerSecond: 30,
    source: "test",
    videoKbps: 4500,
  });
  expect(parameters.broadcast).toBeUndefined();
  expect(parameters.token).toBeUndefined();
});

test("each mistake in an address has its own words", () => {
  expect(addressMistake("https://h/a", "k")).toMatch(/rtmp:\/\//);
  expect(addressMistake("rtmp:///a", "k")).toMatch(/host/);
  expect(addressMistake("rtmp://u:p@h/a", "k")).toMatch(/password/);
  expect(addressMistake("rtmp://h", "k")).toMatch(/application/);
  expect(addressMistake("rtmp://h/a", "")).toMatch(/key/);
  expect(addressMistake("rtmp://h/a b", "k")).toMatch(/blanks/);
  expect(addressMistake("rtmp://h/a/k?b=c/d", "")).toBeUndefined();
});

test("every preset needs only a key", () => {
  for (const { name, rtmpUrl } of PLATFORMS.filter(({ name }) => name !== "custom")) {
    expect([name, addressMistake(rtmpUrl, "key")]).toEqual([name, undefined]);
  }
});

test("only scheme and host of an address are shown", () => {
  expect(serverOf("rtmps://host:443/app/secret?x")).toBe("rtmps://host:443");
});

test("failures are told in words, unknown ones in the gateway's", () => {
  const failure = { message: "went away", fault: "destination", retry: "backoff", at: "" } as const;

  expect(failureInWords({ ...failure, code: "key_refused" })).toMatch(/stream key/);
  expect(failureInWords({ ...failure, code: "provider_gone" })).toBe("Went away.");
  expect(errorInWords(new CastgateError("invalid", "no such scheme", 422, "rtmpUrl"))).toBe(
    "No such scheme. (rtmpUrl)",
  );
});

test("a reload finds the broadcast again, rubbish in the store does not matter", () => {
  const kept = new Map<string, string>();
  const store: TextStore = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
  const memory = {
    broadcast: "b1",
    whipUrl: "/whip/b1",
    resumeToken: "r",
    spareResumeTokens: ["s"],
    owned: true,
    scene: {
      main: "screen",
      second: "camera",
      pattern: "motion",
      layout: "side-by-side",
      title: { visible: true, headline: "Show", subline: "" },
      size: { width: 1280, height: 720 },
      framesPerSecond: 30,
      videoKbps: 4500,
      microphoneOn: true,
      tuneOn: false,
    },
  } as const;

  remember(memory, store);

  expect(recall(store)).toEqual(memory);
  forget(store);
  expect(recall(store)).toBeUndefined();
  const torn = JSON.stringify({ ...memory, scene: { main: "test" } });
  for (const rubbish of ["{", "[]", "1", '{"broadcast":1}', torn]) {
    kept.set("castgate.broadcast", rubbish);
    expect(recall(store)).toBeUndefined();
  }
});

test("figures read well", () => {
  expect([bitrate(128), bitrate(4567), bitrate(undefined)]).toEqual(["128 kb/s", "4.6 Mb/s", "–"]);
  expect([clock(65_000), clock(3_725_000), clock(-5)]).toEqual(["01:05", "1:02:05", "00:00"]);
  expect([codecName("video/H264"), codecName(undefined)]).toEqual(["H.264", "–"]);
});
