import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Backoff } from "../src/backoff.ts";
import { WhepViewer, watch } from "../src/whep.ts";
import { ANSWER, FakeConnection } from "./fake-connection.ts";

type Answer = Response | Error | "silence";

interface Seat {
  viewer: WhepViewer;
  /** `POST`, `DELETE /whep/b/s1` in the order of the calls. */
  calls: string[];
  states: string[];
  streams: string[][];
}

class FakeStream {
  readonly tracks: { kind: string }[] = [];
  addTrack(track: { kind: string }): void {
    this.tracks.push(track);
  }
}

let sessions = 0;

const opened = (): Response => {
  sessions += 1;
  return new Response(ANSWER, { status: 201, headers: { location: `/whep/b/s${sessions}` } });
};
const refused = (status: number, code: string): Response => Response.json({ code }, { status });

function seat(answers: Answer[]): Seat {
  const calls: string[] = [];
  const states: string[] = [];
  const streams: string[][] = [];
  const viewer = new WhepViewer({
    url: "https://gw/whep/b",
    backoff: new Backoff({ random: () => 1 }),
    fetch: (url, init) => {
      const path = new URL(String(url)).pathname;
      calls.push(init?.method === "POST" ? "POST" : `${init?.method} ${path}`);
      if (init?.method === "DELETE") return Promise.resolve(new Response(null, { status: 200 }));
      const answer = answers.shift() ?? refused(404, "no_such_broadcast");
      if (answer instanceof Response) return Promise.resolve(answer);
      if (answer instanceof Error) return Promise.reject(answer);
      return new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    },
    onState: (state, error) => states.push(error === undefined ? state : `${state} ${error.code}`),
    onStream: (stream) => streams.push((stream as unknown as FakeStream).tracks.map(({ kind }) => kind)),
  });
  return { viewer, calls, states, streams };
}

beforeEach(() => {
  sessions = 0;
  vi.useFakeTimers();
  FakeConnection.made = [];
  FakeConnection.afterAnswer = (connection) => connection.become("connected");
  vi.stubGlobal("RTCPeerConnection", FakeConnection);
  vi.stubGlobal("MediaStream", FakeStream);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);

test("a viewer asks for picture and sound, sends nothing, and ends its session", async () => {
  const { viewer, calls, states, streams } = seat([opened()]);
  void viewer.start();
  await pass(100);

  expect(FakeConnection.made[0]?.transceivers).toEqual(["audio recvonly", "video recvonly"]);
  expect(streams).toEqual([["audio", "video"]]);
  viewer.stop();
  await pass(100);

  expect(states).toEqual(["connecting", "watching", "stopped"]);
  expect(calls).toEqual(["POST", "DELETE /whep/b/s1"]);
});

test("a lost connection is replaced by a new one, and the old session is ended", async () => {
  const { viewer, calls, states, streams } = seat([opened(), opened()]);
  void viewer.start();
  await pass(100);

  FakeConnection.made[0]?.become("failed");
  await pass(5_000);

  expect(states).toEqual(["connecting", "watching", "reconnecting connection_lost", "watching"]);
  expect(calls).toEqual(["POST", "DELETE /whep/b/s1", "POST"]);
  expect(streams.length).toBe(2);
  viewer.stop();
});

test("a gateway that cannot be reached is tried again, one without room as it asks", async () => {
  const busy = new Response("{}", { status: 503, headers: { "retry-after": "3" } });
  const { viewer, states } = seat([new TypeError("failed"), busy, opened()]);
  void viewer.start();
  await pass(2_000);
  expect(states.at(-1)).toMatch(/^reconnecting/);

  await pass(6_000);

  expect(states.at(-1)).toBe("watching");
  viewer.stop();
});

test("a broadcast that is not there is not asked for again", async () => {
  const { viewer, calls, states } = seat([refused(404, "no_such_broadcast"), opened()]);
  void viewer.start();

  await pass(20_000);

  expect(states).toEqual(["connecting", "failed no_such_broadcast"]);
  expect(calls).toEqual(["POST"]);
  expect(viewer.state).toBe("failed");
});

test("a viewer that is stopped while the gateway thinks asks no more", async () => {
  const { viewer, calls, states } = seat(["silence", opened()]);
  void viewer.start();
  await pass(100);

  viewer.stop();
  await pass(20_000);

  expect(states).toEqual(["connecting", "stopped"]);
  expect(calls).toEqual(["POST"]);
});

test("watching begins at once", async () => {
  const viewer = watch({ url: "https://gw/whep/b", fetch: () => Promise.resolve(opened()) });

  await pass(100);

  expect(viewer.state).toBe("watching");
  viewer.stop();
});
