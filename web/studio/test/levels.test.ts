import { expect, test } from "vitest";
import { AudioClock } from "../audio/audio-clock.ts";
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

test("an instant between bursts, or while one is late, is where it would be without bursts", () => {
  const clock = new AudioClock();
  const burst = 0.02;
  for (let nowMs = 0; nowMs < 3000; nowMs += 33) {
    const late = nowMs > 1500 && nowMs < 1600 ? 0.1 : 0;
    clock.observe(nowMs, Math.floor((5 + nowMs / 1000 - late) / burst) * burst + burst);
  }

  expect(new AudioClock().secondsAt(0)).toBeUndefined();
  expect(clock.secondsAt(3000)).toBeGreaterThan(8.01);
  expect(clock.secondsAt(3000)).toBeLessThanOrEqual(8.0201);
});

test("after a glitch the clock follows within two seconds", () => {
  const clock = new AudioClock();
  clock.observe(0, 5);

  clock.observe(1000, 5.7);

  expect(clock.secondsAt(1000)).toBeCloseTo(6);
  clock.observe(2100, 6.8);
  expect(clock.secondsAt(2100)).toBeCloseTo(6.8);
});
