import { expect, test } from "vitest";
import { iceServersFromLink } from "../src/link-header.ts";

test("STUN and TURN servers are read, with quotes and commas inside", () => {
  const header =
    '<stun:stun.example.net>; rel="ice-server", ' +
    '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="17:a,b"; credential="p\\"q;r"; credential-type="password"';

  expect(iceServersFromLink(header)).toEqual([
    { urls: "stun:stun.example.net" },
    { urls: "turn:turn.example.net?transport=udp", username: "17:a,b", credential: 'p"q;r' },
  ]);
});

test("other relations, other schemes and rubbish are passed over", () => {
  expect(iceServersFromLink(null)).toEqual([]);
  expect(iceServersFromLink('<https://x/>; rel="next", <http://x>; rel="ice-server", ;;,"<')).toEqual([]);
});
