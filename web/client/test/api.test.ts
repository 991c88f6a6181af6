import { expect, test } from "vitest";
import { CastgateApi } from "../src/api.ts";
import { Backoff } from "../src/backoff.ts";
import type { Broadcast } from "../src/model.ts";

interface Call {
  method: string;
  url: string;
  token: string | null;
  body: unknown;
}

/** Answers calls one after the other and notes what was asked. */
function scripted(...answers: (Response | Error)[]): { fetch: typeof fetch; calls: Call[] } {
  const calls: Call[] = [];
  const scriptedFetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const headers = new Headers(init?.headers);
    const body = typeof init?.body === "string" ? (JSON.parse(init.body) as unknown) : undefined;
    calls.push({
      method: init?.method ?? "GET",
      url: String(input),
      token: headers.get("authorization"),
      body,
    });
    const answer = answers.shift();
    if (answer === undefined) throw new Error("one call more than expected");
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { fetch: scriptedFetch, calls };
}

const broadcast = (state: Broadcast["state"]): Broadcast => ({
  id: "b1",
  state,
  whipUrl: "/whip/b1",
  destinations: [],
});

const events = (...states: Broadcast["state"][]): Response =>
  new Response(
    states.map((state) => `event: broadcast\ndata: ${JSON.stringify(broadcast(state))}\n\n`).join(""),
  );

test("calls carry the current token and camelCase JSON", async () => {
  const { fetch, calls } = scripted(
    Response.json(broadcast("waiting"), { status: 201 }),
    new Response(null, { status: 204 }),
  );
  let token = "first";
  const api = new CastgateApi({ baseUrl: "https://gw/", fetch, token: () => token });

  await api.createBroadcast({ id: "b1", destinations: [{ rtmpUrl: "rtmp://h/live", streamKey: "k" }] });
  token = "second";
  await api.removeDestination("b1", "a/b");

  expect(calls).toEqual([
    {
      method: "POST",
      url: "https://gw/api/v1/broadcasts",
      token: "Bearer first",
      body: { id: "b1", destinations: [{ rtmpUrl: "rtmp://h/live", streamKey: "k" }] },
    },
    {
      method: "DELETE",
      url: "https://gw/api/v1/broadcasts/b1/destinations/a%2Fb",
      token: "Bearer second",
      body: undefined,
    },
  ]);
});

test("a gateway without a local receiver is no error", async () => {
  const { fetch } = scripted(
    Response.json({ code: "not_found" }, { status: 404 }),
    Response.json({}, { status: 500 }),
  );
  const api = new CastgateApi({ baseUrl: "", fetch });

  expect(await api.localReceiver()).toBeUndefined();
  await expect(api.localReceiver()).rejects.toMatchObject({ status: 500 });
});

test("watching goes on after a cut, passes over other events, and ends with the broadcast", async () => {
  const odd = new Response(
    'event: ping\ndata: {}\n\ndata: not json\n\nevent: broadcast\ndata: {"id":"other"}\n\n',
  );
  const { fetch, calls } = scripted(odd, new TypeError("offline"), events("live"), events("slate", "ended"));
  const api = new CastgateApi({ baseUrl: "", fetch });
  const seen: string[] = [];
  const interruptions: string[] = [];

  await api.watchBroadcast("b1", {
    onBroadcast: ({ state }) => seen.push(state),
    onInterruption: ({ code }) => interruptions.push(code),
    backoff: new Backoff({ firstMs: 0 }),
  });

  expect(seen).toEqual(["live", "slate", "ended"]);
  expect(interruptions).toEqual(["network_failed", "network_failed", "network_failed"]);
  expect(calls).toHaveLength(4);
});

test("watching an unknown broadcast is refused at once", async () => {
  const { fetch } = scripted(Response.json({ code: "no_such_broadcast" }, { status: 404 }));

  const watching = new CastgateApi({ baseUrl: "", fetch }).watchBroadcast("b1", {
    onBroadcast: () => undefined,
  });

  await expect(watching).rejects.toMatchObject({ code: "no_such_broadcast" });
});

test("an aborted watch ends without an error, before and while it is open", async () => {
  const stop = new AbortController();
  let opened = 0;
  const hanging: typeof fetch = async (_input, init) => {
    opened += 1;
    const body = new ReadableStream<Uint8Array>({
      start(stream) {
        init?.signal?.addEventListener("abort", () =>
          stream.error(new DOMException("stopped", "AbortError")),
        );
        queueMicrotask(() => stop.abort());
      },
    });
    return new Response(body);
  };
  const api = new CastgateApi({ baseUrl: "", fetch: hanging });
  const onBroadcast = (): void => undefined;

  await api.watchBroadcast("b1", { signal: stop.signal, onBroadcast });
  await api.watchBroadcast("b1", { signal: stop.signal, onBroadcast });

  expect(opened).toBe(1);
});

test("alarms and reasons are told apart from the state that comes with them", async () => {
  const told = (event: string, change: unknown): string =>
    `event: ${event}\ndata: ${JSON.stringify({ change, broadcast: broadcast("live") })}\n\n`;
  const alarm = { alarm: "picture_black", state: "raised", reason: "The picture is black.", at: "now" };
  const lost = { destination: "d1", state: "retrying", reason: "lost" };
  const over = `event: broadcast\ndata: ${JSON.stringify({ change: { state: "ended", reason: "slate_over" }, broadcast: broadcast("ended") })}\n\n`;
  const { fetch } = scripted(new Response(told("alarm", alarm) + told("destination", lost) + over));
  const alarms: unknown[] = [];
  const changes: unknown[] = [];
  const states: string[] = [];

  await new CastgateApi({ baseUrl: "", fetch }).watchBroadcast("b1", {
    onBroadcast: ({ state }) => states.push(state),
    onAlarm: (change) => alarms.push(change),
    onChange: (change) => changes.push(change),
  });

  expect(alarms).toEqual([alarm]);
  expect(changes).toEqual([lost, { state: "ended", reason: "slate_over" }]);
  expect(states).toEqual(["live", "live", "ended"]);
});

test("a slate is uploaded as it is, and a refused one says why", async () => {
  const slate = { enabled: true, title: "t", source: "image", ready: false };
  const types: (string | null)[] = [];
  const bodies: unknown[] = [];
  const answers = [
    Response.json(slate),
    Response.json({ code: "invalid_slate" }, { status: 422 }),
    Response.json(slate),
  ];
  const api = new CastgateApi({
    baseUrl: "",
    fetch: async (url, init) => {
      types.push(new Headers(init?.headers).get("content-type"));
      bodies.push([init?.method, String(url), init?.body instanceof Blob]);
      return answers.shift() ?? new Response(null, { status: 500 });
    },
  });

  expect(await api.uploadSlate("b1", { body: new Blob(["x"]), type: "image/png" })).toEqual(slate);
  await expect(
    api.uploadSlateMusic("b1", { body: new Blob(["x"]), type: "audio/mpeg" }),
  ).rejects.toMatchObject({ code: "invalid_slate" });
  await api.resetSlate("b1");

  expect(types).toEqual(["image/png", "audio/mpeg", null]);
  expect(bodies).toEqual([
    ["PUT", "/api/v1/broadcasts/b1/slate", true],
    ["PUT", "/api/v1/broadcasts/b1/slate/music", true],
    ["DELETE", "/api/v1/broadcasts/b1/slate", false],
  ]);
});

test("destinations are paused, resumed, tried, and their black box read and kept", async () => {
  const nothing = (): Response => new Response(null, { status: 204 });
  const named = { headers: { "content-disposition": 'attachment; filename="black-box-b1-d1.json"' } };
  const { fetch, calls } = scripted(
    nothing(),
    nothing(),
    Response.json({ ok: true, steps: [] }),
    Response.json({ destination: "d1", samples: [], events: [] }),
    Response.json({ destination: "d1" }, named),
  );
  const api = new CastgateApi({ baseUrl: "", fetch });

  await api.pauseDestination("b1", "d1");
  await api.resumeDestination("b1", "d1");
  expect(await api.probeDestination({ rtmpUrl: "rtmp://h/a", streamKey: "k" })).toMatchObject({ ok: true });
  expect((await api.blackBox("b1", "d1")).samples).toEqual([]);
  expect((await api.downloadBlackBox("b1", "d1")).name).toBe("black-box-b1-d1.json");

  expect(calls.map(({ method, url, body }) => [method, url.replace("/api/v1", ""), body])).toEqual([
    ["PATCH", "/broadcasts/b1/destinations/d1", { paused: true }],
    ["PATCH", "/broadcasts/b1/destinations/d1", { paused: false }],
    ["POST", "/destinations/probe", { rtmpUrl: "rtmp://h/a", streamKey: "k" }],
    ["GET", "/broadcasts/b1/destinations/d1/black-box", undefined],
    ["GET", "/broadcasts/b1/destinations/d1/black-box?download=true", undefined],
  ]);
});
