import { expect, test } from "vitest";
import { type Sighting, Vigil } from "../src/vigil.ts";

/** Looks every half second, from one instant to another. */
function watch(
  vigil: Vigil,
  fromMs: number,
  toMs: number,
  seen: (nowMs: number) => Omit<Sighting, "nowMs">,
): [string, number] | "fine" {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 500) {
    const verdict = vigil.look({ nowMs, ...seen(nowMs) });
    if (verdict !== "fine") return [verdict, nowMs];
  }
  return "fine";
}

const healthy = (nowMs: number): Omit<Sighting, "nowMs"> => ({ state: "connected", heardBytes: nowMs });
const silent = (): Omit<Sighting, "nowMs"> => ({ state: "connected", heardBytes: 7 });

test("a connection that is heard of is fine", () => {
  expect(watch(new Vigil(), 0, 60_000, healthy)).toBe("fine");
});

test("a short interruption heals by itself, a longer one is restarted after two seconds", () => {
  const vigil = new Vigil();

  expect(watch(vigil, 0, 1000, healthy)).toBe("fine");
  expect(watch(vigil, 1500, 3000, () => ({ state: "disconnected", heardBytes: 1000 }))).toBe("fine");
  expect(watch(vigil, 3500, 5000, healthy)).toBe("fine");
  expect(watch(vigil, 5500, 9000, () => ({ state: "disconnected", heardBytes: 5000 }))).toEqual([
    "restart",
    7500,
  ]);
});

test("a failed connection is restarted at once, a closed one replaced", () => {
  expect(new Vigil().look({ nowMs: 0, state: "failed" })).toBe("restart");
  expect(new Vigil().look({ nowMs: 0, state: "closed" })).toBe("replace");
});

test("a connection that claims to be up but is silent is restarted, where the browser tells", () => {
  expect(watch(new Vigil(), 0, 60_000, silent)).toEqual(["restart", 4000]);
  expect(watch(new Vigil(), 0, 60_000, () => ({ state: "connected" }))).toBe("fine");
});

test("after a change of the network one second of silence is enough", () => {
  const vigil = new Vigil();
  watch(vigil, 0, 5000, healthy);

  vigil.hint();

  expect(watch(vigil, 5500, 60_000, silent)).toEqual(["restart", 6500]);
});

test("a connection that outlives a change of the network is left alone", () => {
  const vigil = new Vigil();
  watch(vigil, 0, 5000, healthy);

  vigil.hint();

  expect(watch(vigil, 5500, 60_000, healthy)).toBe("fine");
  vigil.hint();
  expect(watch(vigil, 60_500, 90_000, () => ({ state: "connected" }))).toBe("fine");
});

test("sleep counts as a change, and not as silence", () => {
  const vigil = new Vigil();
  watch(vigil, 0, 5000, healthy);

  expect(watch(vigil, 900_000, 960_000, silent)).toEqual(["restart", 901_000]);

  const woken = new Vigil();
  watch(woken, 0, 5000, healthy);
  expect(watch(woken, 900_000, 960_000, healthy)).toBe("fine");
});

test("a clock that is put back does no harm", () => {
  const vigil = new Vigil();
  watch(vigil, 50_000, 55_000, healthy);

  expect(watch(vigil, 1000, 20_000, healthy)).toBe("fine");
});
