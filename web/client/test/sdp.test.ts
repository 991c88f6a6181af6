import { expect, test } from "vitest";
import { answerAfterRestart, candidateFragment, isIceLite, restartFragment } from "../src/sdp.ts";

const sdp = (...lines: string[]): string => `${lines.join("\r\n")}\r\n`;

const OFFER = sdp(
  "v=0",
  "o=- 1 2 IN IP4 127.0.0.1",
  "a=group:BUNDLE 0 1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=ice-ufrag:new1",
  "a=ice-pwd:newpassword",
  "a=mid:0",
  "a=candidate:1 1 udp 1 127.0.0.1 5000 typ host",
  "a=rtpmap:111 opus/48000/2",
  "m=video 9 UDP/TLS/RTP/SAVPF 108",
  "a=ice-ufrag:new1",
  "a=ice-pwd:newpassword",
  "a=mid:1",
);

const ANSWER = sdp(
  "v=0",
  "a=ice-lite",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpassword",
  "a=candidate:1 1 udp 1 127.0.0.1 40000 typ host",
  "a=end-of-candidates",
  "a=mid:0",
  "m=video 9 UDP/TLS/RTP/SAVPF 108",
  "a=ice-ufrag:old",
  "a=ice-pwd:oldpassword",
  "a=mid:1",
);

test("a restart fragment holds credentials, mediums and candidates, and nothing of the codecs", () => {
  expect(restartFragment(OFFER)).toBe(
    sdp(
      "a=group:BUNDLE 0 1",
      "a=ice-ufrag:new1",
      "a=ice-pwd:newpassword",
      "m=audio 9 UDP/TLS/RTP/SAVPF 111",
      "a=mid:0",
      "a=candidate:1 1 udp 1 127.0.0.1 5000 typ host",
      "m=video 9 UDP/TLS/RTP/SAVPF 108",
      "a=mid:1",
    ),
  );
});

test("a candidate fragment puts candidates under their medium", () => {
  const candidate = {
    candidate: "candidate:9 1 udp 1 10.0.0.1 6000 typ host",
    sdpMid: "1",
    sdpMLineIndex: 1,
  };

  const fragment = candidateFragment(OFFER, [candidate as RTCIceCandidate], false);

  expect(fragment).toBe(
    sdp(
      "a=group:BUNDLE 0 1",
      "a=ice-ufrag:new1",
      "a=ice-pwd:newpassword",
      "m=video 9 UDP/TLS/RTP/SAVPF 108",
      "a=mid:1",
      "a=candidate:9 1 udp 1 10.0.0.1 6000 typ host",
    ),
  );
});

test("the end of candidates stands under the first medium", () => {
  expect(candidateFragment(OFFER, [], true)).toMatch(/m=audio.*\r\na=mid:0\r\na=end-of-candidates\r\n$/);
});

test("an answer after a restart has the new credentials in every medium and no old candidate", () => {
  const fragment = sdp(
    "a=ice-ufrag:gw2",
    "a=ice-pwd:gw2password",
    "m=audio 9 X 0",
    "a=mid:0",
    "a=candidate:2 1 udp 1 ::1 40001 typ host",
  );

  const answer = answerAfterRestart(ANSWER, fragment);

  expect(answer.match(/a=ice-ufrag:gw2/g)).toHaveLength(2);
  expect(answer.match(/a=ice-pwd:gw2password/g)).toHaveLength(2);
  expect(answer.match(/a=candidate:/g)).toHaveLength(2);
  expect(answer).not.toMatch(/old|40000/);
  expect(isIceLite(answer)).toBe(true);
});

test("a fragment without credentials is refused", () => {
  expect(() => answerAfterRestart(ANSWER, "a=mid:0\r\n")).toThrow(SyntaxError);
});

test("only an ICE-lite answer is one", () => {
  expect([isIceLite(ANSWER), isIceLite(OFFER)]).toEqual([true, false]);
});
