// A WHIP server in a browser: what is published plays in a page, which measures what a viewer sees and hears.
// usage: node whip-receiver.mjs
// It prints its URL as one JSON document, and then obeys: one command a line on standard input, one document a line as
// its answer.
// commands: report (what was received so far), quit

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { close, open } from "./browser.mjs";

const browser = await open();
const { page } = browser;
let ended = 0;

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const server = createServer(async (request, response) => {
  if (request.method === "GET") {
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>receiver</title>");
  } else if (request.method === "DELETE") {
    ended += 1;
    response.writeHead(200).end();
  } else {
    const answer = await page.evaluate(receive, await body(request));
    response.writeHead(201, { location: "/sessions/1", "content-type": "application/sdp" }).end(answer);
  }
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${server.address().port}/`;
await page.goto(url);
process.stdout.write(`${JSON.stringify({ url: `${url}whip` })}\n`);

try {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "quit") break;
    const report = await page.evaluate(() => window.received?.report() ?? {});
    process.stdout.write(`${JSON.stringify({ ...report, ended })}\n`);
  }
} finally {
  server.close();
  server.closeAllConnections();
  await close(browser);
  // Whoever gave the commands may keep the pipe open.
  process.stdin.destroy();
}

/** Runs in the page: answers an offer, plays it, and notes when it flashes and beeps. */
async function receive(offer) {
  // Mean luma above which a picture is a flash of the synthetic studio, and amplitude above which sound is its beep.
  const [flash, beep] = [200, 0.1];
  // Two onsets of one kind are at least this far apart, in milliseconds.
  const pause = 500;
  const onsets = { video: [], audio: [] };
  const hear = (kind, time, isOn) => {
    const latest = onsets[kind].at(-1) ?? Number.NEGATIVE_INFINITY;
    if (isOn && time - latest > pause) onsets[kind].push(time);
  };

  const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  const stream = new MediaStream();
  connection.ontrack = ({ track }) => stream.addTrack(track);
  await connection.setRemoteDescription({ type: "offer", sdp: offer });
  await connection.setLocalDescription();
  if (connection.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => candidate === null && resolve();
    });
  }

  const video = document.createElement("video");
  video.autoplay = true;
  video.muted = true;
  video.srcObject = stream;
  document.body.append(video);
  const canvas = new OffscreenCanvas(32, 18);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const look = (_now, { expectedDisplayTime }) => {
    context.drawImage(video, 0, 0, 32, 18);
    const { data } = context.getImageData(0, 0, 32, 18);
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      sum += 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
    }
    hear("video", expectedDisplayTime, sum / (data.length / 4) > flash);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);

  const audio = new AudioContext({ sampleRate: 48_000 });
  const listener = audio.createScriptProcessor(256, 2, 2);
  listener.onaudioprocess = ({ inputBuffer, playbackTime }) => {
    const samples = inputBuffer.getChannelData(0);
    const { contextTime, performanceTime } = audio.getOutputTimestamp();
    const first = samples.findIndex((sample) => Math.abs(sample) > beep);
    const at = performanceTime + (playbackTime - contextTime + Math.max(first, 0) / 48_000) * 1_000;
    hear("audio", at, first >= 0);
  };
  audio.createMediaStreamSource(stream).connect(listener).connect(audio.destination);

  window.received = {
    async report() {
      const entries = [...(await connection.getStats()).values()];
      const inbound = (kind) =>
        entries.find((entry) => entry.type === "inbound-rtp" && entry.kind === kind) ?? {};
      const [picture, sound] = [inbound("video"), inbound("audio")];
      const offsets = onsets.video.flatMap((shown) => {
        const apart = onsets.audio.map((heard) => heard - shown);
        const nearest = apart.sort((one, other) => Math.abs(one) - Math.abs(other))[0];
        return Math.abs(nearest) < pause ? [Math.round(nearest)] : [];
      });
      return {
        state: connection.connectionState,
        pictures: picture.framesDecoded ?? 0,
        keyframes: picture.keyFramesDecoded ?? 0,
        width: picture.frameWidth ?? 0,
        height: picture.frameHeight ?? 0,
        freezes: picture.freezeCount ?? 0,
        packetsLost: (picture.packetsLost ?? 0) + (sound.packetsLost ?? 0),
        sounds: sound.packetsReceived ?? 0,
        concealed: sound.concealedSamples ?? 0,
        silentConcealed: sound.silentConcealedSamples ?? 0,
        totalSamples: sound.totalSamplesReceived ?? 0,
        // What the browser itself makes of the sender reports, in milliseconds.
        playout: { video: picture.estimatedPlayoutTimestamp ?? null, audio: sound.estimatedPlayoutTimestamp ?? null },
        flashes: onsets.video.length,
        beeps: onsets.audio.length,
        offsets,
      };
    },
  };
  return connection.localDescription.sdp;
}
