// Behaves as MeetLite's later clients do: `ready`, events with `mediasoup:` before them, a transport for each other user.

import { Participant } from "./participant.mjs";
import { answerBy, Signalling } from "./signalling.mjs";

export class Meetlite2 extends Participant {
  order = ["audio", "video"];
  #known = new Set();
  /** By the user whose tracks come over it. */
  #recvTransports = new Map();
  /** One request after the other: the client cannot tell whose `transport-created` it is. */
  #queue = Promise.resolve();

  async join() {
    this.signalling = new Signalling(this.io, this.url, {
      auth: { token: this.token, profile: { name: this.name, useNameInMeetings: true } },
      query: { roomId: this.room },
    });
    await this.signalling.connected();
    const { socket } = this.signalling;
    socket.on("user-left", (userId) => {
      this.lose(({ participant }) => participant === userId);
      this.#recvTransports.get(userId)?.close();
      this.#recvTransports.delete(userId);
    });
    socket.on("producer-closed", ({ producerId }) => this.lose(({ producer }) => producer === producerId));
    const data = await this.signalling.exchange(
      "ready",
      { roomId: this.room, mediaState: { audioEnabled: true, videoEnabled: true } },
      "room-data",
    );
    if (!data.mediaSoupEnabled) throw new Error("mediaSoupEnabled is not set");
    this.existing = data.existingProducers ?? [];
    await this.load(data.rtpCapabilities);
    socket.on("new-producer", ({ producerId, userId }) => this.#take(producerId, userId));
  }

  /** The client sends first, and consumes what it found when it came afterwards. */
  async publish(options) {
    this.sendTransport ??= await this.#transport("send");
    const produced = await super.publish(options);
    await this.receive();
    return produced;
  }

  /** Consumes what was there before. */
  async receive() {
    for (const { id, userId } of this.existing) this.#take(id, userId);
    await this.#queue;
  }

  async #transport(direction) {
    const { id, iceParameters, iceCandidates, dtlsParameters } = await this.signalling.exchange(
      "mediasoup:create-transport",
      { roomId: this.room, direction },
      "transport-created",
    );
    const parameters = { id, iceParameters, iceCandidates, dtlsParameters };
    const send = direction === "send";
    const transport = send
      ? this.device.createSendTransport(parameters)
      : this.device.createRecvTransport(parameters);
    const place = { roomId: this.room, transportId: id };
    transport.on("connect", ({ dtlsParameters: ours }, callback, errback) => {
      const connected = this.signalling.exchange(
        "mediasoup:connect-transport",
        { ...place, dtlsParameters: ours },
        "transport-connected",
      );
      answerBy(connected, () => callback(), errback);
    });
    transport.on("produce", ({ kind, rtpParameters, appData }, callback, errback) => {
      // The camera and the microphone come without application data.
      const more = Object.keys(appData).length > 0 ? { appData } : {};
      const content = { ...place, rtpParameters, kind, ...more };
      const produced = this.signalling.exchange("mediasoup:create-producer", content, "producer-created");
      answerBy(produced, ({ id: producer }) => callback({ id: producer }), errback);
    });
    return transport;
  }

  #take(producerId, userId) {
    if (userId === this.user || this.#known.has(producerId)) return;
    this.#known.add(producerId);
    this.#queue = this.#queue.then(() => this.#consume(producerId, userId));
    this.later(this.#queue);
  }

  async #consume(producerId, userId) {
    if (!this.#recvTransports.has(userId)) this.#recvTransports.set(userId, await this.#transport("recv"));
    const transport = this.#recvTransports.get(userId);
    const { id, kind, rtpParameters } = await this.signalling.exchange(
      "mediasoup:create-consumer",
      {
        roomId: this.room,
        transportId: transport.id,
        producerId,
        rtpCapabilities: this.device.rtpCapabilities,
      },
      "consumer-created",
    );
    const consumer = await transport.consume({ id, producerId, kind, rtpParameters });
    this.look({ producer: producerId, participant: userId, consumer });
  }

  screenData() {
    return { source: "screen", mediaType: "screen" };
  }

  async pause({ name }) {
    const producer = this.producers.get(name);
    producer.pause();
    const content = { roomId: this.room, producerId: producer.id };
    await this.signalling.exchange("mediasoup:producer-pause", content, "producer-paused");
  }

  async resume({ name }) {
    const producer = this.producers.get(name);
    producer.resume();
    const content = { roomId: this.room, producerId: producer.id };
    await this.signalling.exchange("mediasoup:producer-resume", content, "producer-resumed");
  }

  /** As the latest client does when its network changes. */
  async restartIce() {
    const content = { roomId: this.room, transportId: this.sendTransport.id };
    const { iceParameters } = await this.signalling.exchange("media:restart-ice", content, "ice-restarted");
    await this.sendTransport.restartIce({ iceParameters });
  }

  setLayers({ id, spatialLayer, temporalLayer }) {
    this.signalling.socket.emit("media:set-layers", {
      roomId: this.room,
      consumerId: id,
      spatialLayer,
      temporalLayer,
    });
  }

  async leave() {
    this.signalling.socket.emit("mediasoup:leave-room", { roomId: this.room });
    for (const transport of this.#recvTransports.values()) transport.close();
    await this.close();
    this.signalling.close();
  }
}
