// mediasoup behind the words of the MediaSoup SFU, and of Hermes: the rival that the pages are proven with and the gateway
// is measured against.
// usage: node mediasoup.mjs HTTP_PORT RTC_PORT; prints a line with the worker's process once it listens.

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

function openTransport(router) {
  return router.createWebRtcTransport({
    listenIps: ["127.0.0.1"],
    enableUdp: true,
    initialAvailableOutgoingBitrate: 1_000_000,
  });
}

/** Sessions of Hermes' words, by which a load generator without Socket.IO takes part. */
const sessions = new Map();

const requests = {
  async create({ channel_id }) {
    const { router } = await roomOf(channel_id);
    const transport = await openTransport(router);
    sessions.set(transport.id, { router, transport });
    return {
      session_id: transport.id,
      transport_id: transport.id,
      ice_servers: [],
      ice_parameters: transport.iceParameters,
      ice_candidates: transport.iceCandidates,
      dtls_parameters: transport.dtlsParameters,
      router_rtp_capabilities: router.rtpCapabilities,
    };
  },
  async connect({ dtls_parameters }, { transport }) {
    await transport.connect({ dtlsParameters: dtls_parameters });
    return { connected: true };
  },
  async publish({ kind, rtp_parameters }, { transport }) {
    const producer = await transport.produce({ kind, rtpParameters: rtp_parameters });
    return { track_id: producer.id, kind };
  },
  async subscribe({ track_id, rtp_capabilities }, { transport }) {
    const consumer = await transport.consume({ producerId: track_id, rtpCapabilities: rtp_capabilities });
    const { id, kind, rtpParameters } = consumer;
    return { consumer_id: id, track_id, kind, rtp_parameters: rtpParameters };
  },
  async close(_, { transport }) {
    sessions.delete(transport.id);
    transport.close();
  },
};

const http = createServer(async (request, response) => {
  const [, , id, verb] = new URL(request.url, "http://localhost").pathname.split("/");
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-allow-methods", "*");
  response.setHeader("access-control-allow-headers", "*");
  if (request.method === "OPTIONS") return response.end();
  try {
    let text = "";
    for await (const piece of request) text += piece;
    const called = request.method === "DELETE" ? "close" : (verb ?? "create");
    const answer = await requests[called](text === "" ? {} : JSON.parse(text), sessions.get(id));
    response.setHeader("content-type", "application/json").end(answer && JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
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
    const transport = await openTransport(room.router);
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
