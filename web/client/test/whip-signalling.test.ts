import { expect, test } from "vitest";
import { RESUME_TOKEN_HEADER, WhipSignalling } from "../src/whip-signalling.ts";

type Exchange = { method: string; url: string; headers: Headers; body: unknown };

function gateway(...answers: Response[]): { signalling: WhipSignalling; exchanges: Exchange[] } {
  const exchanges: Exchange[] = [];
  const signalling = new WhipSignalling({
    token: "secret",
    fetch: async (input, init) => {
      exchanges.push({
        method: init?.method ?? "GET",
        url: String(input),
        headers: new Headers(init?.headers),
        body: init?.body,
      });
      return answers.shift() ?? new Response(null, { status: 500 });
    },
  });
  return { signalling, exchanges };
}

const created = (headers: Record<string, string> = {}): Response =>
  new Response("v=0 answer", {
    status: 201,
    headers: { location: "/whip/b1/s1", etag: '"one"', ...headers },
  });

test("an offer opens a session with everything the answer's headers say", async () => {
  const { signalling, exchanges } = gateway(
    created({ link: '<stun:s.example>; rel="ice-server"', [RESUME_TOKEN_HEADER]: "r1" }),
  );

  const session = await signalling.open("https://gw/whip/b1", "v=0 offer", "r0");

  expect(session).toEqual({
    url: "https://gw/whip/b1/s1",
    answer: "v=0 answer",
    etag: '"one"',
    iceServers: [{ urls: "stun:s.example" }],
    resumeToken: "r1",
  });
  expect(exchanges[0]?.headers.get("content-type")).toBe("application/sdp");
  expect(exchanges[0]?.headers.get("authorization")).toBe("Bearer secret");
  expect(exchanges[0]?.headers.get(RESUME_TOKEN_HEADER)).toBe("r0");
});

test("an answer without a location is no session", async () => {
  const { signalling } = gateway(new Response("v=0", { status: 201 }));

  await expect(signalling.open("https://gw/whip/b1", "v=0")).rejects.toMatchObject({ code: "bad_answer" });
});

test("a second studio is told the gateway's reason", async () => {
  const { signalling } = gateway(
    Response.json({ code: "already_publishing", message: "m" }, { status: 409 }),
  );

  await expect(signalling.open("https://gw/whip/b1", "v=0")).rejects.toMatchObject({
    status: 409,
    code: "already_publishing",
  });
});

test("a restart matches any tag and keeps the new one for trickling", async () => {
  const { signalling, exchanges } = gateway(
    created(),
    new Response("a=ice-ufrag:x", { status: 200, headers: { etag: '"two"' } }),
    new Response(null, { status: 204 }),
  );
  const session = await signalling.open("https://gw/whip/b1", "v=0");

  const fragment = await signalling.restart(session, "a=ice-ufrag:y");
  await signalling.trickle(session, "a=candidate:1");

  expect(fragment).toBe("a=ice-ufrag:x");
  expect(
    exchanges
      .slice(1)
      .map(({ method, headers }) => [method, headers.get("if-match"), headers.get("content-type")]),
  ).toEqual([
    ["PATCH", "*", "application/trickle-ice-sdpfrag"],
    ["PATCH", '"two"', "application/trickle-ice-sdpfrag"],
  ]);
});

test("a gateway that does not trickle, or has ended the session, is no error", async () => {
  const { signalling } = gateway(
    created(),
    new Response(null, { status: 405 }),
    new Response(null, { status: 404 }),
  );
  const session = await signalling.open("https://gw/whip/b1", "v=0");

  await expect(signalling.trickle(session, "a=candidate:1")).resolves.toBeUndefined();
  await expect(signalling.close(session)).resolves.toBeUndefined();
});
