import { expect, test } from "vitest";
import { Backoff, pause } from "../src/backoff.ts";

test("pauses double up to the longest, and start anew after a reset", () => {
  const backoff = new Backoff({ firstMs: 500, longestMs: 4000, random: () => 1 });

  const pauses = Array.from({ length: 5 }, () => backoff.nextMs());

  expect(pauses).toEqual([500, 1000, 2000, 4000, 4000]);
  backoff.reset();
  expect(backoff.nextMs()).toBe(500);
});

test("jitter spreads a pause over its span but never to nothing", () => {
  expect(new Backoff({ firstMs: 1000, random: () => 0 }).nextMs()).toBe(100);
});

test("an aborted pause rejects with the reason", async () => {
  const stop = new AbortController();
  const waiting = pause(60_000, stop.signal);

  stop.abort(new Error("enough"));

  await expect(waiting).rejects.toThrow("enough");
  await expect(pause(0, stop.signal)).rejects.toThrow("enough");
});
