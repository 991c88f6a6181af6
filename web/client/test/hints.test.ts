import { afterEach, expect, test, vi } from "vitest";
import { watchForTrouble } from "../src/hints.ts";

afterEach(() => vi.unstubAllGlobals());

test("what often breaks connections is told until nobody wants to know", () => {
  const page = Object.assign(new EventTarget(), { hidden: true });
  const [window, connection] = [new EventTarget(), new EventTarget()];
  vi.stubGlobal("window", window);
  vi.stubGlobal("document", page);
  vi.stubGlobal("navigator", { connection });
  const seen = vi.fn();
  const happen = (): void => {
    window.dispatchEvent(new Event("online"));
    connection.dispatchEvent(new Event("change"));
    page.dispatchEvent(new Event("resume"));
    page.dispatchEvent(new Event("visibilitychange"));
  };

  const stop = watchForTrouble(seen);
  happen();
  expect(seen).toHaveBeenCalledTimes(3);
  page.hidden = false;
  happen();
  expect(seen).toHaveBeenCalledTimes(7);
  stop();
  happen();

  expect(seen).toHaveBeenCalledTimes(7);
});

test("without a page there is nothing to watch", () => {
  expect(() => watchForTrouble(() => undefined)()).not.toThrow();
});
