import { expect, test } from "vitest";
import { Cadence } from "../compositor/cadence.ts";
import { boxes, contain, cover } from "../compositor/layout.ts";

const HD = { width: 1280, height: 720 };

test("without a second picture every layout is full", () => {
  for (const layout of ["full", "picture-in-picture", "side-by-side"] as const) {
    expect(boxes(layout, HD, false)).toEqual({ main: { x: 0, y: 0, ...HD } });
  }
});

test("pictures stay on the canvas, on even pixels, and apart when side by side", () => {
  for (const size of [HD, { width: 1920, height: 1080 }]) {
    for (const layout of ["picture-in-picture", "side-by-side"] as const) {
      const { main, second } = boxes(layout, size, true);
      for (const box of [main, second ?? main]) {
        expect(box.x).toBeGreaterThanOrEqual(0);
        expect(box.x + box.width).toBeLessThanOrEqual(size.width);
        expect(box.y + box.height).toBeLessThanOrEqual(size.height);
        expect([box.x % 2, box.y % 2, box.width % 2, box.height % 2]).toEqual([0, 0, 0, 0]);
      }
      if (layout === "side-by-side") expect(main.x + main.width).toBeLessThan(second?.x ?? 0);
    }
  }
});

test("cover cuts the long sides, contain leaves bars", () => {
  const box = { x: 0, y: 0, width: 100, height: 100 };

  expect(cover({ width: 200, height: 100 }, box)).toEqual({ x: 50, y: 0, width: 100, height: 100 });
  expect(contain({ width: 200, height: 100 }, box)).toEqual({ x: 0, y: 25, width: 100, height: 50 });
});

test("ticks of a 60 Hz display give 30 frames a second, also when they are not quite even", () => {
  const cadence = new Cadence(30);
  let frames = 0;

  for (let tick = 0; tick < 600; tick += 1) {
    if (cadence.take(1000 + (tick * 1000) / 60 + (tick % 3) * 0.7)) frames += 1;
  }

  expect(frames).toBe(300);
});

test("ticks of a 75 Hz display keep the rate too", () => {
  const cadence = new Cadence(30);

  const frames = Array.from({ length: 750 }, (_, tick) => cadence.take((tick * 1000) / 75)).filter(
    Boolean,
  ).length;

  expect(frames).toBeGreaterThanOrEqual(299);
  expect(frames).toBeLessThanOrEqual(301);
});

test("after a stall frames are skipped, not made up for", () => {
  const cadence = new Cadence(30);
  cadence.take(0);

  expect(cadence.take(5000)).toBe(true);
  expect(cadence.take(5010)).toBe(false);
  expect(cadence.take(5034)).toBe(true);
});
