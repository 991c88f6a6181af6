import { expect, test } from "vitest";
import { CastgateError } from "../src/errors.ts";
import { cureFor, endingOf, ResumeTokens } from "../src/recovery.ts";

const error = (status: number, code = "some_code"): CastgateError => new CastgateError(code, "m", status);

test("nothing that may pass ends the show", () => {
  for (const status of [408, 425, 429, 500, 502, 503, 504]) expect(endingOf(error(status))).toBeUndefined();
  for (const code of ["network_failed", "connect_timeout", "webrtc_failed"]) {
    expect(endingOf(error(0, code))).toBeUndefined();
  }
  expect(endingOf(error(200, "bad_answer"))).toBeUndefined();
});

test("what is final says why", () => {
  expect(endingOf(error(403, "resume_token_refused"))).toBe("taken_over");
  expect(endingOf(error(409, "studio_present"))).toBe("taken_over");
  expect([endingOf(error(404)), endingOf(error(410))]).toEqual(["ended", "ended"]);
  for (const status of [400, 401, 403, 406, 415, 422]) expect(endingOf(error(status))).toBe("refused");
});

test("a restart comes first, and a new connection where a restart cannot help", () => {
  expect(cureFor({ verdict: "restart", restartFailed: false, downMs: 0 })).toBe("restart");
  expect(cureFor({ verdict: "restart", restartFailed: true, downMs: 0 })).toBe("replace");
  expect(cureFor({ verdict: "replace", restartFailed: false, downMs: 0 })).toBe("replace");
  expect(cureFor({ verdict: "restart", restartFailed: false, downMs: 40_000 })).toBe("replace");
});

test("the old token stays right until the new one's connection has come up", () => {
  const tokens = new ResumeTokens("one");

  tokens.offer("two");
  tokens.offer("three");
  tokens.offer("two");

  expect(tokens.all).toEqual(["one", "two", "three"]);
  tokens.confirm("two");
  expect(tokens.all).toEqual(["two"]);
});

test("spare tokens do not pile up", () => {
  const tokens = new ResumeTokens(undefined, ["kept"]);

  for (let index = 0; index < 20; index += 1) tokens.offer(`t${index}`);

  expect(tokens.all).toEqual(["t19", "t18", "t17", "t16"]);
});
