// Publishes a canvas that flashes, and beeps, to a Janus video room, and has the room forward it as plain RTP.
// usage: node janus.mjs JANUS_URL ROOM FORWARDS, where FORWARDS is JSON: {audio: {port, pt}, video: {port, rtcp_port, pt}}
// Prints one line once packets are forwarded, and ends when standard input does.

import { close, open } from "./browser.mjs";

const [url, room, forwards] = process.argv.slice(2);
const { origin } = new URL(url);
const browser = await open(["--disable-features=WebRtcHideLocalIpsWithMdns"]);

try {
  // Any page of Janus' own origin will do, so that nothing is asked of another.
  await browser.page.goto(`${origin}/janus/info`);
  await browser.page.evaluate(publish, { url, room: Number(room), forwards: JSON.parse(forwards) });
  process.stdout.write("forwarding\n");
  for await (const _ of process.stdin) {
    // Nothing is said by it but its end.
  }
} finally {
  await close(browser);
}

/** Runs in the page. */
async function publish({ url, room, forwards }) {
  const request = async (path, body) => {
    const message = { transaction: String(Math.random()), ...body };
    const response = await fetch(url + path, { method: "POST", body: JSON.stringify(message) });
    const answer = await response.json();
    if (answer.janus === "error") throw new Error(JSON.stringify(answer));
    return answer;
  };
  const session = `/${(await request("", { janus: "create" })).data.id}`;
  const attached = await request(session, { janus: "attach", plugin: "janus.plugin.videoroom" });
  const handle = `${session}/${attached.data.id}`;
  const event = async (wanted) => {
    for (;;) {
      const next = await (await fetch(`${url}${session}?maxev=1`)).json();
      if (next.plugindata?.data?.error) throw new Error(JSON.stringify(next));
      if (wanted(next)) return next;
    }
  };

  await request(handle, { janus: "message", body: { request: "join", ptype: "publisher", room } });
  const joined = await event((next) => next.plugindata?.data?.videoroom === "joined");

  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [640, 360];
  const context = canvas.getContext("2d");
  const audio = new AudioContext({ sampleRate: 48_000 });
  await audio.resume();
  const sound = audio.createMediaStreamDestination();
  const gain = audio.createGain();
  gain.gain.value = 0;
  const tone = audio.createOscillator();
  tone.frequency.value = 1000;
  tone.connect(gain).connect(sound);
  tone.start();
  const first = Math.ceil(audio.currentTime) + 1;
  for (let second = first; second < first + 120; second += 1) {
    gain.gain.setValueAtTime(0.5, second);
    gain.gain.setValueAtTime(0, second + 0.1);
  }
  setInterval(() => {
    context.fillStyle = audio.currentTime % 1 < 0.1 ? "white" : "black";
    context.fillRect(0, 0, canvas.width, canvas.height);
    // Something that moves, so that every picture is another.
    context.fillStyle = "grey";
    context.fillRect((audio.currentTime * 100) % canvas.width, 170, 20, 20);
  }, 1000 / 30);

  const connection = new RTCPeerConnection();
  for (const track of [...sound.stream.getTracks(), ...canvas.captureStream(30).getTracks()]) {
    connection.addTransceiver(track, { direction: "sendonly" });
  }
  await connection.setLocalDescription();
  await new Promise((resolve) => {
    connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
    if (connection.iceGatheringState === "complete") resolve();
  });
  await request(handle, {
    janus: "message",
    body: { request: "publish", bitrate: 1_500_000 },
    jsep: { type: "offer", sdp: connection.localDescription.sdp, trickle: false },
  });
  const published = await event((next) => next.jsep);
  await connection.setRemoteDescription(published.jsep);
  await event((next) => next.janus === "webrtcup");

  const forwarded = await request(handle, {
    janus: "message",
    body: {
      request: "rtp_forward",
      room,
      publisher_id: joined.plugindata.data.id,
      host: "127.0.0.1",
      streams: [
        { mid: "0", ...forwards.audio },
        { mid: "1", ...forwards.video },
      ],
    },
  });
  if (forwarded.plugindata?.data?.error) throw new Error(JSON.stringify(forwarded));
}
