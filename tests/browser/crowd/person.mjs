// Somebody at a socket, and the words by which each dialect does what all do.

import { io } from "socket.io-client";
import { dtlsParameters, rtpParameters } from "./recorded.mjs";

/** How long an answer may take: all dialects' clients give up after this. */
const ANSWER_LIMIT = 10_000;

export class Person {
  /** Connects; rejects with the words of `connect_error`. */
  static async open({ url, namespace = "", address, token, query, auth, polling = false }) {
    const socket = io(`${url}${namespace}`, {
      transports: [polling ? "polling" : "websocket"],
      reconnection: false,
      forceNew: true,
      timeout: 20_000,
      localAddress: address,
      auth: { ...auth, ...(token && { token }) },
      query,
    });
    const person = new Person(socket);
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", (error) => {
        socket.disconnect();
        reject(error);
      });
    });
    return person;
  }

  constructor(socket) {
    this.socket = socket;
    this.heard = [];
    this.ended = null;
    socket.onAny((event, ...content) => this.heard.push([event, ...content]));
    socket.on("disconnect", (reason) => {
      this.ended = reason;
    });
  }

  /** Asks, and returns the answer, or that there was none: `{hung}` or `{ended}`. */
  async ask(event, ...content) {
    if (this.ended) return { ended: this.ended };
    return new Promise((resolve) => {
      const over = () => settle({ ended: this.ended });
      const clock = setTimeout(() => settle({ hung: event }), ANSWER_LIMIT + 2000);
      const settle = (answer) => {
        clearTimeout(clock);
        this.socket.off("disconnect", over);
        resolve(answer);
      };
      this.socket.on("disconnect", over);
      this.socket.emit(event, ...content, settle);
    });
  }

  /** Asks what must be granted. */
  async must(event, ...content) {
    const answer = await this.ask(event, ...content);
    if (!answer || answer.error || answer.hung || answer.ended) {
      throw new Error(`${event}: ${JSON.stringify(answer)}`);
    }
    return answer;
  }

  /** Goes on purpose. */
  close() {
    this.socket.disconnect();
  }

  /** Goes as a network goes: without a word of Socket.IO or of WebSocket. */
  cut() {
    this.socket.io.engine.transport.ws.terminate();
  }
}

/** What a dialect calls joining, sending, receiving and leaving. `ids` of a consumer are read by both names. */
const WORDS = {
  sfu: {
    async join(person, room, name) {
      await person.must("joinRoom", { roomId: room, peerId: name });
      const { rtpCapabilities } = await person.must("getRouterRtpCapabilities", { roomId: room });
      return rtpCapabilities;
    },
    transport: (_room, way) => [
      "createWebRtcTransport",
      { producing: way === "send", consuming: way === "recv" },
    ],
    connect: () => ["connectTransport", {}],
    produce: () => ["produce", { appData: {} }],
    consume: (_room, transportId) => ["consume", { transportId }],
    async others(person) {
      const { producers } = await person.must("getProducers");
      return producers.map((producer) => producer.producerId);
    },
    leave: (person) => person.must("leaveRoom"),
  },
  nself: {
    async join(person, room, name) {
      const answer = await person.must("join-room", { roomId: room, userId: name, displayName: name });
      person.before = answer.producers.map((producer) => producer.producerId);
      person.participantId = answer.participantId;
      return answer.rtpCapabilities;
    },
    transport: (room, way, person) => [
      "create-transport",
      { roomId: room, participantId: person.participantId, direction: way },
    ],
    connect: (room) => ["connect-transport", { roomId: room }],
    produce: (room) => ["produce", { roomId: room }],
    consume: (room, transportId, person) => [
      "consume",
      { roomId: room, participantId: person.participantId, transportId },
    ],
    others: async (person) => [...person.before, ...told(person, "new-producer")],
    leave: (person) => person.must("leave-room"),
  },
  streamlick: {
    async join(_person, room, _name, url) {
      const answer = await fetch(`${url}/broadcasts/${room}/rtp-capabilities`);
      return (await answer.json()).rtpCapabilities;
    },
    transport: (room, way) => ["create-transport", { broadcastId: room, direction: way }],
    connect: () => ["connect-transport", {}],
    produce: () => ["produce", {}],
    consume: (room) => ["consume", { broadcastId: room }],
    others: async (person) => told(person, "new-producer"),
    // There is no word for it but going.
    leave: async (person) => person.close(),
  },
  meetlite2: {
    async join(person, room, name) {
      const answer = await person.must("mediasoup:join-room", { roomId: room, userId: name });
      person.before = answer.existingProducers.map((producer) => producer.id);
      return answer.rtpCapabilities;
    },
    transport: (room, way) => ["mediasoup:create-transport", { roomId: room, direction: way }],
    connect: (room) => ["mediasoup:connect-transport", { roomId: room }],
    produce: (room, kind) => [
      "mediasoup:create-producer",
      { roomId: room, appData: { source: kind === "audio" ? "mic" : "webcam", mediaType: kind } },
    ],
    consume: (room, transportId) => ["mediasoup:create-consumer", { roomId: room, transportId }],
    others: async (person) => [...person.before, ...told(person, "new-producer")],
    leave: (person) => person.must("mediasoup:leave-room", {}),
  },
};

/** The tracks that somebody was told of. */
function told(person, event) {
  return person.heard.filter(([name]) => name === event).map(([, content]) => content.producerId);
}

/** A participant: joins, and sends and receives in the words of its dialect. */
export class Participant {
  constructor(person, dialect, room, name, url) {
    Object.assign(this, { person, room, name, url, words: WORDS[dialect] });
    this.consumers = [];
    this.producers = [];
  }

  async join() {
    this.capabilities = await this.words.join(this.person, this.room, this.name, this.url);
  }

  async makeTransports() {
    for (const way of ["send", "recv"]) {
      const { id, iceParameters, iceCandidates } = await this.person.must(
        ...this.words.transport(this.room, way, this.person),
      );
      if (!id || !iceParameters.iceLite || iceCandidates.length === 0) throw new Error("no transport");
      this[way] = id;
      const [event, content] = this.words.connect(this.room);
      const connected = { ...content, transportId: id, dtlsParameters: dtlsParameters() };
      await this.person.must(event, connected);
    }
  }

  /** The order for a track to be sent. */
  sending(kind, mid) {
    const [event, content] = this.words.produce(this.room, kind);
    return [event, { ...content, transportId: this.send, kind, rtpParameters: rtpParameters(kind, mid) }];
  }

  /** The order for a track to be received. */
  receiving(producerId) {
    const [event, content] = this.words.consume(this.room, this.recv, this.person);
    return [event, { ...content, producerId, rtpCapabilities: this.capabilities }];
  }

  async produce() {
    for (const [mid, kind] of ["audio", "video"].entries()) {
      const answer = await this.person.must(...this.sending(kind, `${mid}`));
      this.producers.push(answer.producerId ?? answer.id);
    }
  }

  /** Receives what so many others send, of which the room must have told. */
  async consume(tracks) {
    let others = [];
    for (let patience = 0; others.length < tracks && patience < 200; patience += 1) {
      if (patience > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      others = [...new Set(await this.words.others(this.person))];
    }
    others = others.filter((producer) => !this.producers.includes(producer));
    if (others.length !== tracks) throw new Error(`${this.name} was told of ${others.length} of ${tracks}`);
    const ssrcs = new Set();
    for (const producerId of others) {
      const consumer = await this.person.must(...this.receiving(producerId));
      if (consumer.producerId !== producerId) throw new Error("another track came");
      ssrcs.add(consumer.rtpParameters.encodings[0].ssrc);
      this.consumers.push(consumer.consumerId ?? consumer.id);
    }
    if (ssrcs.size !== tracks) throw new Error(`${tracks} tracks have ${ssrcs.size} SSRCs`);
  }

  /** In the dialect's word, and then the socket goes; or the network does. */
  async leave(byWord) {
    if (byWord) {
      await this.words.leave(this.person);
      this.person.close();
    } else {
      this.person.cut();
    }
  }
}
