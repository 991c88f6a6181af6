import { expect, test } from "vitest";
import { counterBlocks } from "../compositor/frame-counter.ts";

const text = (frame: number): string =>
  counterBlocks(frame)
    .map((white) => (white ? "W" : "."))
    .join("");

test("a picture's number is drawn as the gateway's own studio draws it", () => {
  expect(text(5)).toBe("W..............WWW.....W");
  expect(text(6)).toBe("W..............W.W..WW.W");
  expect(text(65536 + 5)).toBe(text(5));
});
