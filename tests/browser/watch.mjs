// Watches a broadcast over WHEP with the browser's own means, and obeys: one command a line on standard input, one JSON
// document a line as its answer.
// usage: node watch.mjs WHEP-URL
// commands: state (of the connection), stats (what was received), leave (ends the session; answers with the status), quit

import { createInterface } from "node:readline";
import { close, open } from "./browser.mjs";

const [url] = process.argv.slice(2);
const { origin } = new URL(url);
const browser = await open();
const { page } = browser;
// A page of the gateway's own, so that its answers may be read; it shows nothing.
await page.goto(`${origin}/healthz`);
await page.evaluate(watch, url);

const commands = {
  state: () => page.evaluate(() => window.watching.connection.connectionState),
  stats: () => page.evaluate(() => window.watching.stats()),
  leave: () => page.evaluate(() => window.watching.leave()),
};

try {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "quit") break;
    let answer;
    try {
      answer = { done: (await commands[line]()) ?? null };
    } catch (error) {
      answer = { failed: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
} finally {
  await close(browser);
  // Whoever gave the commands may keep the pipe open.
  process.stdin.destroy();
}

/** Runs in the page. */
async function watch(whep) {
  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const stream = new MediaStream();
  for (const kind of ["audio", "video"]) {
    stream.addTrack(connection.addTransceiver(kind, { direction: "recvonly" }).receiver.track);
  }
  const video = document.createElement("video");
  video.autoplay = true;
  video.srcObject = stream;
  document.body.append(video);
  await connection.setLocalDescription();
  if (connection.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => candidate === null && resolve();
    });
  }
  const response = await fetch(whep, {
    method: "POST",
    headers: { "content-type": "application/sdp" },
    body: connection.localDescription.sdp,
  });
  const answer = await response.text();
  if (response.status !== 201) throw new Error(`${response.status}: ${answer}`);
  const session = new URL(response.headers.get("location"), whep).href;
  await connection.setRemoteDescription({ type: "answer", sdp: answer });

  window.watching = {
    connection,
    async stats() {
      const report = await connection.getStats();
      const inbound = (kind) =>
        [...report.values()].find((entry) => entry.type === "inbound-rtp" && entry.kind === kind) ?? {};
      const [picture, sound] = [inbound("video"), inbound("audio")];
      return {
        connection: connection.connectionState,
        codec: report.get(picture.codecId)?.mimeType ?? null,
        width: picture.frameWidth ?? 0,
        height: picture.frameHeight ?? 0,
        framesDecoded: picture.framesDecoded ?? 0,
        keyFramesDecoded: picture.keyFramesDecoded ?? 0,
        framesDropped: picture.framesDropped ?? 0,
        freezes: picture.freezeCount ?? 0,
        pictureLossIndications: picture.pliCount ?? 0,
        packetsLost: picture.packetsLost ?? 0,
        audioPackets: sound.packetsReceived ?? 0,
        audioEnergy: sound.totalAudioEnergy ?? 0,
        position: video.currentTime,
      };
    },
    async leave() {
      connection.close();
      return (await fetch(session, { method: "DELETE" })).status;
    },
  };
}
