// Behaves as a client of the MediaSoup SFU: camelCase, acknowledgements, consumers that are resumed, a list of producers.

import { Participant } from "./participant.mjs";
import { answerBy, Signalling } from "./signalling.mjs";

export class Camel extends Participant {
  async join() {
    this.signalling = new Signalling(this.io, this.url, { transports: ["websocket", "polling"] });
    await this.signalling.connected();
    const { rtpCapabilities } = await this.signalling.request("getRouterRtpCapabilities", {
      roomId: this.room,
    });
    await this.load(rtpCapabilities);
    this.#listen();
    await this.#enter();
    this.sendTransport = await this.#transport({ producing: true, consuming: false });
    this.recvTransport = await this.#transport({ producing: false, consuming: true });
    await this.#catchUp();
  }

  /** The server tells of new producers only who has a transport that works, so the list is asked for once more. */
  async publish(options) {
    const produced = await super.publish(options);
    await this.#catchUp();
    return produced;
  }

  #enter() {
    return this.signalling.request("joinRoom", { roomId: this.room, peerId: this.name });
  }

  #listen() {
    const { socket } = this.signalling;
    socket.on("newProducer", (producer) => this.later(this.#consume(producer)));
    socket.on("consumerClosed", ({ consumerId }) => this.lose(({ id }) => id === consumerId));
    socket.on("peerLeft", ({ peerId }) => this.lose(({ participant }) => participant === peerId));
    // After a break the client enters under its name again.
    socket.io.on("reconnect", () => this.later(this.#enter()));
  }

  async #transport(purpose) {
    const answer = await this.signalling.request("createWebRtcTransport", purpose);
    const transport = purpose.producing
      ? this.device.createSendTransport(answer)
      : this.device.createRecvTransport(answer);
    transport.on("connect", ({ dtlsParameters }, callback, errback) => {
      const connected = this.signalling.request("connectTransport", {
        transportId: transport.id,
        dtlsParameters,
      });
      answerBy(connected, () => callback(), errback);
    });
    transport.on("produce", ({ kind, rtpParameters, appData }, callback, errback) => {
      const produced = this.signalling.request("produce", {
        transportId: transport.id,
        kind,
        rtpParameters,
        appData,
      });
      answerBy(produced, ({ id }) => callback({ id }), errback);
    });
    return transport;
  }

  async #catchUp() {
    const { producers } = await this.signalling.request("getProducers");
    for (const producer of producers) await this.#consume(producer);
  }

  /** Those that are being consumed already. */
  #known = new Set();

  async #consume({ peerId, producerId }) {
    if (peerId === this.name || this.#known.has(producerId)) return;
    this.#known.add(producerId);
    const answer = await this.signalling.request("consume", {
      producerId,
      rtpCapabilities: this.device.rtpCapabilities,
      transportId: this.recvTransport.id,
    });
    const { id, kind, rtpParameters } = answer;
    const consumer = await this.recvTransport.consume({ id, producerId, kind, rtpParameters });
    this.look({ producer: producerId, participant: peerId, consumer });
    await this.signalling.request("resumeConsumer", { consumerId: id });
  }

  screenData() {
    return { isScreenShare: true };
  }

  async pause({ name }) {
    const producer = this.producers.get(name);
    producer.pause();
    await this.signalling.request("pauseProducer", { producerId: producer.id });
  }

  async resume({ name }) {
    const producer = this.producers.get(name);
    producer.resume();
    await this.signalling.request("resumeProducer", { producerId: producer.id });
  }

  async pauseSight({ id }) {
    await this.signalling.request("pauseConsumer", { consumerId: id });
  }

  async resumeSight({ id }) {
    await this.signalling.request("resumeConsumer", { consumerId: id });
  }

  transportState({ direction }) {
    const { id } = direction === "send" ? this.sendTransport : this.recvTransport;
    return this.signalling.request("getTransportState", { transportId: id });
  }

  consumerStatistics({ id }) {
    return this.signalling.request("getConsumerStats", { consumerId: id });
  }

  /** Asks who speaks; the answers are events. */
  async listenForSpeakers() {
    await this.signalling.request("enableActiveSpeakerDetection");
  }

  async reportLevel({ level }) {
    await this.signalling.request("reportAudioLevel", { audioLevel: level });
  }

  async leave() {
    this.signalling.socket.emit("leaveRoom");
    await this.close();
    this.signalling.close();
  }
}
