import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Backoff } from "../src/backoff.ts";
import { type PublisherOptions, WhipPublisher } from "../src/whip.ts";
import { RESUME_TOKEN_HEADER } from "../src/whip-signalling.ts";
import { ANSWER, FakeConnection, FRAGMENT } from "./fake-connection.ts";

type Answer = Response | Error | "silence";

interface Desk {
  publisher: WhipPublisher;
  /** `POST old-token`, `PATCH`, `DELETE` in the order of the calls. */
  calls: string[];
  states: string[];
  kept: string[][];
}

let sessions = 0;

const opened = (token: string): Response => {
  sessions += 1;
  return new Response(ANSWER, {
    status: 201,
    headers: { location: `/whip/b/s${sessions}`, etag: '"e"', [RESUME_TOKEN_HEADER]: token },
  });
};
const refused = (status: number, code: string): Response => Response.json({ code }, { status });
const restarted = (): Response => new Response(FRAGMENT, { status: 200 });

function desk(answers: Answer[], options: Partial<PublisherOptions> = {}): Desk {
  const calls: string[] = [];
  const states: string[] = [];
  const kept: string[][] = [];
  const publisher = new WhipPublisher({
    url: "https://gw/whip/b",
    stream: { getVideoTracks: () => [], getAudioTracks: () => [] } as unknown as MediaStream,
    backoff: new Backoff({ random: () => 1 }),
    fetch: (_url, init) => {
      const token = new Headers(init?.headers).get(RESUME_TOKEN_HEADER);
      calls.push([init?.method, ...(token === null ? [] : [token])].join(" "));
      if (init?.method === "DELETE") return Promise.resolve(new Response(null, { status: 200 }));
      const answer = answers.shift() ?? refused(404, "no_such_broadcast");
      if (answer instanceof Response) return Promise.resolve(answer);
      if (answer instanceof Error) return Promise.reject(answer);
      return new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    },
    onState: (state, error) => states.push(error === undefined ? state : `${state} ${error.code}`),
    onResumeToken: (token, spare) => kept.push([token, ...spare]),
    ...options,
  });
  return { publisher, calls, states, kept };
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeConnection.made = [];
  FakeConnection.afterAnswer = (connection) => connection.become("connected");
  vi.stubGlobal("RTCPeerConnection", FakeConnection);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const last = (): FakeConnection => {
  const connection = FakeConnection.made.at(-1);
  if (connection === undefined) throw new Error("no connection was made");
  return connection;
};

/** Lets the studio's clock go on, and everything that waits for it. */
const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);

test("an interruption of two seconds is cured by new ICE credentials on the same connection", async () => {
  const { publisher, calls, states } = desk([opened("one"), restarted()]);
  await publisher.start();

  last().become("disconnected");
  await pass(3000);

  expect(calls).toEqual(["POST", "PATCH"]);
  expect(states).toEqual(["connecting", "live", "reconnecting connection_lost", "live"]);
  expect([FakeConnection.made.length, last().restarts, publisher.reconnects]).toEqual([1, 1, 1]);
  await publisher.stop();
});

test("a gateway that has forgotten the session is offered a new one with the token", async () => {
  for (const status of [404, 412]) {
    const { publisher, calls } = desk([opened("one"), refused(status, "gone"), opened("two")]);
    await publisher.start();

    last().become("failed");
    await pass(500);

    expect(calls).toEqual(["POST", "PATCH", "POST one"]);
    expect([publisher.state, publisher.resumeToken]).toEqual(["live", "two"]);
    await publisher.stop();
  }
});

test("an answer that got lost is asked for again with the same token", async () => {
  const { publisher, calls } = desk([opened("one"), refused(404, "gone"), "silence", opened("two")]);
  await publisher.start();

  last().become("failed");
  await pass(8000);

  expect(calls).toEqual(["POST", "PATCH", "POST one", "POST one"]);
  expect(publisher.state).toBe("live");
  await publisher.stop();
});

test("a token of a connection that was not seen to come up is tried when the old one is refused", async () => {
  FakeConnection.afterAnswer = (connection) => {
    if (FakeConnection.made.length !== 2) connection.become("connected");
  };
  const { publisher, calls, kept } = desk([
    opened("one"),
    refused(404, "gone"),
    opened("two"),
    refused(403, "resume_token_refused"),
    opened("three"),
  ]);
  await publisher.start();

  last().become("failed");
  await pass(14_000);

  expect(calls).toEqual(["POST", "PATCH", "POST one", "DELETE", "POST one", "POST two"]);
  expect(publisher.state).toBe("live");
  expect(kept).toEqual([["one"], ["one"], ["one", "two"], ["one", "three", "two"], ["three"]]);
  await publisher.stop();
});

test("it goes on trying while the network is gone, at first within a second", async () => {
  const gone = Array.from({ length: 30 }, () => new TypeError("offline"));
  const { publisher, calls } = desk([opened("one"), ...gone, opened("two")]);
  await publisher.start();

  last().become("failed");
  await pass(1000);
  expect(calls.length).toBeGreaterThanOrEqual(3);
  await pass(10 * 60_000);

  expect(publisher.state).toBe("live");
  await publisher.stop();
});

test("a sign of life of the network cuts the pause and the hanging attempt short", async () => {
  const hanging: Answer[] = [opened("one"), "silence", restarted()];
  const { publisher, calls } = desk(hanging);
  await publisher.start();

  last().become("failed");
  await pass(2000);
  expect(calls).toEqual(["POST", "PATCH"]);
  publisher.check();
  await pass(600);

  expect(calls).toEqual(["POST", "PATCH", "PATCH"]);
  expect(publisher.state).toBe("live");
  await publisher.stop();
});

test("a silent connection is doubted at once when the network has changed", async () => {
  const { publisher, calls } = desk([opened("one"), restarted()]);
  await publisher.start();
  await pass(2000);

  last().isSilent = true;
  publisher.check();
  await pass(1600);
  expect(calls).toEqual(["POST", "PATCH"]);
  expect(publisher.state).toBe("reconnecting");
  last().isSilent = false;
  await pass(400);

  expect(publisher.state).toBe("live");
  await publisher.stop();
});

test("a studio that was replaced says so and stays away", async () => {
  const { publisher, calls, states } = desk([
    opened("one"),
    refused(404, "gone"),
    refused(403, "resume_token_refused"),
  ]);
  await publisher.start();

  last().become("failed");
  await pass(60_000);

  expect(calls).toEqual(["POST", "PATCH", "POST one"]);
  expect(states.at(-1)).toBe("failed resume_token_refused");
  expect(publisher.ending).toBe("taken_over");
});

test("a first start is refused at once, a patient one waits for the network", async () => {
  const impatient = desk([new TypeError("offline")]);
  await expect(impatient.publisher.start()).rejects.toMatchObject({ code: "network_failed" });

  const patient = desk([new TypeError("offline"), refused(503, "unavailable"), opened("two")], {
    resumeToken: "one",
    spareResumeTokens: ["spare"],
  });
  const starting = patient.publisher.start({ patient: true });
  await pass(5000);
  await starting;

  expect(patient.calls).toEqual(["POST one", "POST one", "POST one"]);
  expect(patient.states).toContain("reconnecting network_failed");
  await patient.publisher.stop();
});

test("a patient start ends when the broadcast has", async () => {
  const { publisher } = desk([refused(404, "no_such_broadcast")], { resumeToken: "one" });

  await expect(publisher.start({ patient: true })).rejects.toMatchObject({ status: 404 });

  expect([publisher.state, publisher.ending]).toEqual(["failed", "ended"]);
});

test("stopping while it tries again leaves nothing running", async () => {
  const { publisher, calls } = desk([opened("one"), "silence"]);
  await publisher.start();
  last().become("failed");
  await pass(500);

  await publisher.stop();
  await pass(60_000);

  expect(calls).toEqual(["POST", "PATCH", "DELETE"]);
  expect(publisher.state).toBe("stopped");
});
