import { expect, test } from "vitest";
import { faderGain, limiterCurve, meterPosition } from "../audio/levels.ts";

test("a fader has silence, unity and six decibels more", () => {
  expect(faderGain(0)).toBe(0);
  expect(faderGain(0.75)).toBeCloseTo(1);
  expect(faderGain(1)).toBeCloseTo(1.995, 2);
});

test("a meter spans sixty decibels", () => {
  expect([meterPosition(0), meterPosition(1), meterPosition(2)]).toEqual([0, 1, 1]);
  expect(meterPosition(0.001)).toBeCloseTo(0);
  expect(meterPosition(0.0316)).toBeCloseTo(0.5, 2);
});

test("the limiter leaves quiet sound alone and never exceeds full scale", () => {
  const curve = limiterCurve(4001);
  const at = (input: number): number => curve[Math.round(((input + 2) / 4) * 4000)] ?? Number.NaN;

  expect(at(0.5)).toBeCloseTo(0.5);
  expect(at(-0.5)).toBeCloseTo(-0.5);
  expect(at(2)).toBeLessThanOrEqual(1);
  expect([...curve].every((value, index) => index === 0 || value >= (curve[index - 1] ?? -1))).toBe(true);
});
