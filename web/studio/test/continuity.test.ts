import { type Broadcast, CastgateApi, CastgateError, type Destination } from "@castgate/client";
import { signal } from "@preact/signals";
import { expect, test } from "vitest";
import { fareOf } from "../broadcast/fare.ts";
import { endsAtMs, goingOut, showingOf } from "../broadcast/going-out.ts";
import { Journal } from "../broadcast/journal.ts";
import { PLAIN_DRAFT, Roster, requestOf } from "../broadcast/roster.ts";
import { SlateDesk } from "../broadcast/slate-desk.ts";
import { judgeMusic, judgePicture } from "../broadcast/slate-files.ts";
import { endingInWords, eventInWords, paceInWords, probeInWords, stepInWords } from "../broadcast/words.ts";
import { PaceWatch } from "../compositor/pace.ts";
import { duration } from "../ui/format.ts";
import { linePath, scaleOf } from "../ui/line-path.ts";

const slate = {
  enabled: true,
  title: "",
  afterMs: 2000,
  maxMinutes: 10,
  source: "card",
  music: false,
  ready: true,
} as const;

function broadcast(part: Partial<Broadcast> = {}): Broadcast {
  return {
    id: "b1",
    state: "live",
    showing: "studio",
    slate,
    whipUrl: "/whip/b1",
    destinations: [],
    ...part,
  };
}

test("what viewers see is told in one sentence", () => {
  const away = broadcast({ state: "slate", showing: "slate" });

  expect(goingOut("offline", away)).toBeUndefined();
  expect(goingOut("live", broadcast())?.text).toBe("Viewers see your studio.");
  expect(goingOut("live", broadcast({ showing: "freeze" }))?.text).toMatch(/last picture/);
  expect(goingOut("live", away)).toMatchObject({ tone: "away", badge: "Slate" });
  expect(goingOut("reconnecting", broadcast())?.text).toBe("Reconnecting — viewers see your slate.");
  expect(goingOut("reconnecting", undefined)?.text).toBe("Reconnecting — viewers see your slate.");
  const bare = broadcast({ slate: { ...slate, enabled: false } });
  expect(goingOut("reconnecting", bare)?.text).toBe("Reconnecting — viewers see the last picture.");
});

test("a gateway that does not say what goes out is understood by its state", () => {
  const { showing: _, ...old } = broadcast();

  expect(showingOf(old)).toBe("studio");
  expect(showingOf({ ...old, state: "slate" })).toBe("slate");
  expect(showingOf({ ...old, state: "waiting" })).toBe("nothing");
});

test("the end is told only while something stands in for the studio", () => {
  const away = broadcast({ state: "slate", showing: "slate" });

  expect(endsAtMs("live", broadcast(), 1000)).toBeUndefined();
  expect(endsAtMs("live", away, undefined)).toBeUndefined();
  expect(endsAtMs("live", away, 1000)).toBe(601_000);
  expect(endsAtMs("reconnecting", broadcast(), 1000)).toBe(601_000);
  expect(endsAtMs("live", { ...away, endsAt: "1970-01-01T00:00:07Z" }, 1000)).toBe(7000);
  expect(endsAtMs("live", { ...away, slate: { ...slate, enabled: false } }, 1000)).toBeUndefined();
});

test("a page that is slowed down says so, and says it long enough", () => {
  const watch = new PaceWatch(30);
  const look = (nowMs: number, framesPerSecond: number, hidden: boolean) =>
    watch.look({ nowMs, framesPerSecond, hidden });

  expect(look(0, 30, false)).toBeUndefined();
  expect(look(1000, 1, true)).toBeUndefined();
  expect(look(3000, 1, true)).toBeUndefined();
  expect(look(4000, 1, true)).toEqual({ framesPerSecond: 1, hidden: true });
  expect(look(8000, 30, false)).toEqual({ framesPerSecond: 1, hidden: true });
  expect(look(14_000, 30, false)).toBeUndefined();
  expect(look(15_000, 10, false)).toBeUndefined();
  expect(look(18_000, 10, false)).toEqual({ framesPerSecond: 10, hidden: false });
  expect(look(19_000, 29, false)).toBeUndefined();
  expect(paceInWords(1, true)).toMatch(/hidden.*about one picture per second/);
  expect(paceInWords(11.6, false)).toMatch(/too busy.*about 12 pictures/);
});

test("a final state has its own words", () => {
  const refused = new CastgateError("resume_token_refused", "m", 403);

  expect(endingInWords("taken_over", refused)).toMatch(/Another studio has taken over this broadcast/);
  expect(endingInWords("ended", new CastgateError("no_such_broadcast", "m", 404))).toMatch(/has ended/);
  expect(endingInWords("refused", new CastgateError("token_missing", "m", 401))).toMatch(/asks for a token/);
});

test("a destination says what is out of the ordinary", () => {
  const live: Destination = { id: "d", server: "rtmp://h", state: "live" };

  expect(fareOf({ ...live, queueMs: 300, using: "primary" })).toEqual([]);
  expect(fareOf({ ...live, queueMs: 4400, using: "backup", backupMode: "failover" })).toEqual([
    "On the backup server.",
    "4 s behind.",
  ]);
  expect(fareOf({ ...live, using: "backup", backup: { server: "rtmp://i", state: "live" } })).toEqual([]);
  expect(fareOf({ ...live, queueMs: 9000, catchingUp: true })).toEqual(["Catching up, 9 s behind."]);
  expect(fareOf({ ...live, state: "retrying", heldBack: true })[0]).toMatch(/Waits/);
  expect(fareOf({ ...live, paused: true })[0]).toMatch(/Paused/);
});

test("a dry run is told in words", () => {
  expect(probeInWords({ ok: true, steps: [{ step: "createStream", elapsedMs: 9 }] })).toMatch(/only when/);
  expect(probeInWords({ ok: true, steps: [{ step: "publish", elapsedMs: 9 }] })).toMatch(/takes the stream/);
  expect(probeInWords({ ok: false, code: "key_refused", message: "m" })).toMatch(/stream key/);
  expect(probeInWords({ ok: false, code: "odd", message: "went wrong" })).toBe("Went wrong.");
  expect([stepInWords("tls"), stepInWords("someNew_step")]).toEqual(["Encryption", "Some new step"]);
  expect([eventInWords("tls"), eventInWords("odd")]).toEqual(["Encrypted", "Odd"]);
});

test("a file is judged before it is sent", () => {
  const file = (name: string, type = "", size = 1000) => ({ name, type, size });

  expect(judgePicture(file("a.PNG"))).toEqual({ type: "image/png" });
  expect(judgePicture(file("a", "video/mp4"))).toEqual({ type: "video/mp4" });
  expect(judgePicture(file("a.gif", "image/gif"))).toHaveProperty("mistake");
  expect(judgePicture(file("a.png", "image/png", 20_000_001))).toEqual({
    mistake: "The file is larger than 20 MB.",
  });
  expect(judgeMusic(file("a.m4a", "audio/x-m4a"))).toEqual({ type: "audio/mp4" });
  expect(judgeMusic(file("a.txt", "text/plain"))).toHaveProperty("mistake");
});

test("a slate asks only for what is not as usual", () => {
  const desk = new SlateDesk(new CastgateApi({ baseUrl: "" }), signal(undefined));

  expect(desk.request("")).toBeUndefined();
  expect(desk.request(" The show ")).toEqual({ title: "The show" });
  desk.wishes.value = { enabled: false, title: "Back soon", maxMinutes: 30 };
  expect(desk.request("The show")).toEqual({ enabled: false, title: "Back soon", maxMinutes: 30 });
});

test("a slate that is refused leaves the old one, one chosen early is sent later", async () => {
  const current = signal<Broadcast | undefined>(undefined);
  const sent: string[] = [];
  const answers = [Response.json(slate), Response.json({ code: "invalid_slate" }, { status: 422 })];
  const api = new CastgateApi({
    baseUrl: "",
    fetch: async (url, init) => {
      sent.push(`${init?.method} ${String(url)}`);
      return answers.shift() ?? new Response(null, { status: 500 });
    },
  });
  const desk = new SlateDesk(api, current);

  await desk.choose("picture", new File(["x"], "first.png"));
  expect(sent).toEqual([]);
  current.value = broadcast();
  await desk.sendChosen();
  await desk.choose("picture", new File(["x"], "second.png"));

  expect(sent).toEqual(["PUT /api/v1/broadcasts/b1/slate", "PUT /api/v1/broadcasts/b1/slate"]);
  expect(desk.files.value).toEqual({ picture: "first.png" });
  expect(desk.problem.value).toMatch(/old one stays/);
});

test("a destination asks only for what is not as usual", () => {
  const draft = {
    ...PLAIN_DRAFT,
    id: "d",
    platform: "custom",
    rtmpUrl: "rtmp://h/a",
    streamKey: "k",
  } as const;

  expect(requestOf(draft, "b")).toEqual({
    id: "d",
    platform: "custom",
    rtmpUrl: "rtmp://h/a",
    streamKey: "k",
    enabled: true,
  });
  expect(
    requestOf(
      {
        ...draft,
        backupRtmpUrl: "rtmp://i/a",
        backupMode: "simultaneous",
        afterCut: "catchUp",
        required: true,
      },
      "b",
    ),
  ).toMatchObject({
    backupRtmpUrl: "rtmp://i/a",
    backupMode: "simultaneous",
    afterCut: "catchUp",
    required: true,
  });
});

test("a change reaches the gateway when it knows the destination, and is kept for the next broadcast", async () => {
  const current = signal<Broadcast | undefined>(undefined);
  const sent: unknown[] = [];
  const api = new CastgateApi({
    baseUrl: "",
    fetch: async (_url, init) => {
      sent.push(JSON.parse(String(init?.body)));
      return new Response(null, { status: 204 });
    },
  });
  const roster = new Roster(api, current);
  roster.takeAddresses(["rtmp://h/a/k"]);

  await roster.change("address-1", { required: true });
  current.value = broadcast({ destinations: [{ id: "address-1", server: "rtmp://h", state: "live" }] });
  await roster.change("address-1", { paused: true });
  await roster.enable("address-1", false);

  expect(sent).toEqual([{ paused: true }, { enabled: false }]);
  expect(roster.drafts.value[0]).toMatchObject({ required: true, enabled: false });
  expect(roster.drafts.value[0]).not.toHaveProperty("paused");
});

test("a line breaks where nothing is known and stays on the drawing", () => {
  expect([scaleOf([]), scaleOf([3, 7]), scaleOf([1200, null]), scaleOf([0])]).toEqual([1, 10, 2000, 1]);
  expect(linePath([0, 10, null, 5], 10, 30, 26)).toBe("M0.0 23.0L10.0 3.0M30.0 13.0");
  expect(linePath([5], 10, 30, 26)).toBe("M0.0 13.0");
  expect([duration(87), duration(2345), duration(null)]).toEqual(["87 ms", "2.3 s", "–"]);
});

test("the journal keeps the newest entries", () => {
  const journal = new Journal();

  for (let at = 0; at < 250; at += 1) journal.note("live", undefined, at);

  expect(journal.entries).toHaveLength(200);
  expect(journal.entries.at(-1)).toEqual({ at: 249, what: "live" });
});
