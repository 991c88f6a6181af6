// mediasoup behind the words of the MediaSoup SFU: the rival that the pages are proven with and the gateway is measured against.
// usage: node mediasoup.mjs HTTP_PORT RTC_PORT; prints one line once it listens, and ends when standard input does.

import { createServer } from "node:http";
import mediasoup from "mediasoup_prebuilt";
import { Server } from "socket.io";

const [httpPort, rtcPort] = process.argv.slice(2).map(Number);
const CODECS = [
  {
    kind: "video",
    mimeType: "video/H264",
    clockRate: 90_000,
    parameters: { "packetization-mode": 1, "profile-level-id": "42e01f", "level-asymmetry-allowed": 1 },
  },
  { kind: "video", mimeType: "video/VP8", clockRate: 90_000 },
  { kind: "audio", mimeType: "audio/opus", clockRate: 48_000, channels: 2 },
];

const worker = await mediasoup.createWorker({
  logLevel: "warn",
  rtcMinPort: rtcPort,
  rtcMaxPort: rtcPort + 199,
});
const rooms = new Map();

async function roomOf(id) {
  if (!rooms.has(id))
    rooms.set(
      id,
      worker.createRouter({ mediaCodecs: CODECS }).then((router) => ({ router, peers: new Map() })),
    );
  return rooms.get(id);
}

const http = createServer((_, response) => response.end());
const io = new Server(http, { cors: { origin: "*" } });

io.on("connection", (socket) => {
  let room;
  let peer;
  const on = (name, handle) =>
    socket.on(name, async (...all) => {
      const ack = all.pop();
      if (typeof ack !== "function") return handle(ack);
      try {
        ack(await handle(...all));
      } catch (error) {
        ack({ error: String(error) });
      }
    });
  const leave = () => {
    if (!peer) return;
    for (const transport of peer.transports.values()) transport.close();
    room.peers.delete(peer.id);
    for (const other of room.peers.values()) other.socket.emit("peerLeft", { peerId: peer.id });
    peer = undefined;
  };
  const all = (what) => [...room.peers.values()].flatMap((other) => [...other[what].values()]);

  on("getRouterRtpCapabilities", async ({ roomId }) => ({
    rtpCapabilities: (await roomOf(roomId)).router.rtpCapabilities,
  }));
  on("joinRoom", async ({ roomId, peerId }) => {
    room = await roomOf(roomId);
    peer = { id: peerId, socket, transports: new Map(), producers: new Map(), consumers: new Map() };
    for (const other of room.peers.values()) other.socket.emit("newPeer", { peerId });
    room.peers.set(peerId, peer);
    return { success: true };
  });
  on("createWebRtcTransport", async ({ consuming }) => {
    const transport = await room.router.createWebRtcTransport({
      listenIps: ["127.0.0.1"],
      enableUdp: true,
      initialAvailableOutgoingBitrate: 1_000_000,
    });
    transport.appData.consuming = consuming;
    peer.transports.set(transport.id, transport);
    const { id, iceParameters, iceCandidates, dtlsParameters, sctpParameters } = transport;
    return { id, iceParameters, iceCandidates, dtlsParameters, sctpParameters };
  });
  on("connectTransport", async ({ transportId, dtlsParameters }) => {
    await peer.transports.get(transportId).connect({ dtlsParameters });
    return { success: true };
  });
  on("produce", async ({ transportId, kind, rtpParameters, appData }) => {
    const producer = await peer.transports.get(transportId).produce({ kind, rtpParameters, appData });
    peer.producers.set(producer.id, producer);
    for (const other of room.peers.values()) {
      if (other !== peer)
        other.socket.emit("newProducer", {
          peerId: peer.id,
          producerId: producer.id,
          kind,
          paused: false,
          appData,
        });
    }
    return { id: producer.id };
  });
  on("getProducers", () => ({
    producers: [...room.peers.values()].flatMap(({ id, producers }) =>
      [...producers.values()].map((producer) => ({
        peerId: id,
        producerId: producer.id,
        kind: producer.kind,
      })),
    ),
  }));
  on("consume", async ({ producerId, rtpCapabilities }) => {
    const transport = [...peer.transports.values()].find(({ appData }) => appData.consuming);
    const consumer = await transport.consume({ producerId, rtpCapabilities, paused: true });
    peer.consumers.set(consumer.id, consumer);
    consumer.on("producerclose", () => socket.emit("consumerClosed", { consumerId: consumer.id }));
    const { id, kind, rtpParameters } = consumer;
    return { id, producerId, kind, rtpParameters, paused: true };
  });
  on("resumeConsumer", async ({ consumerId }) => {
    await peer.consumers.get(consumerId).resume();
    return { success: true, resumed: true };
  });
  on("pauseConsumer", async ({ consumerId }) => {
    await peer.consumers.get(consumerId).pause();
    return { success: true };
  });
  for (const verb of ["pause", "resume"]) {
    on(`${verb}Producer`, async ({ producerId }) => {
      await all("producers")
        .find(({ id }) => id === producerId)
        [verb]();
      return { success: true };
    });
  }
  socket.on("leaveRoom", leave);
  socket.on("disconnect", leave);
});

http.listen(httpPort, "127.0.0.1", () => process.stdout.write(`worker ${worker.pid}\n`));
process.stdin.resume().on("end", () => process.exit());
