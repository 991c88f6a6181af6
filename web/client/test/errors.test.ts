import { expect, test } from "vitest";
import { CastgateError, errorFromFetch, errorFromResponse } from "../src/errors.ts";

const answer = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers });

test("a problem body gives code, message and field", async () => {
  const body = JSON.stringify({
    code: "invalid_destination",
    detail: "no host",
    field: "rtmpUrl",
    status: 422,
  });

  const error = await errorFromResponse(answer(422, body));

  expect(error).toMatchObject({
    code: "invalid_destination",
    message: "no host",
    field: "rtmpUrl",
    status: 422,
  });
  expect(error.isTransient).toBe(false);
});

test("a proxy's page becomes a code by its status", async () => {
  const error = await errorFromResponse(answer(503, "<html>busy</html>", { "retry-after": "3" }));

  expect(error).toMatchObject({ code: "unavailable", status: 503, retryAfterMs: 3000 });
  expect(error.isTransient).toBe(true);
});

test("only a missing token asks for one", async () => {
  expect((await errorFromResponse(answer(401, "{}"))).needsToken).toBe(true);
  expect((await errorFromResponse(answer(403, "[]"))).needsToken).toBe(false);
});

test("an unreachable gateway may come back, a cancelled call does not", () => {
  const lost = errorFromFetch(new TypeError("Failed to fetch"));
  const cancelled = errorFromFetch(new DOMException("x", "AbortError"));

  expect([lost.code, lost.isTransient]).toEqual(["network_failed", true]);
  expect([cancelled.code, cancelled.isTransient]).toEqual(["aborted", false]);
  expect(errorFromFetch(lost)).toBeInstanceOf(CastgateError);
});
