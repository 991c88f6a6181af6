// Behaves as nself-chat's documents tell their client to: a token, kebab-case, acknowledgements.

import { Participant } from "./participant.mjs";
import { answerBy, Signalling } from "./signalling.mjs";

export class Nself extends Participant {
  #place;
  #known = new Set();

  async join() {
    this.signalling = new Signalling(this.io, this.url, {
      auth: { token: this.token },
      transports: ["websocket", "polling"],
    });
    await this.signalling.connected();
    this.#listen();
    const answer = await this.signalling.request("join-room", {
      roomId: this.room,
      userId: this.name,
      displayName: this.name,
    });
    this.#place = { roomId: this.room, participantId: answer.participantId ?? this.name };
    await this.load(answer.routerRtpCapabilities ?? answer.rtpCapabilities);
    this.sendTransport = await this.#transport("send");
    this.recvTransport = await this.#transport("recv");
    for (const producer of answer.producers ?? []) await this.#consume(producer);
  }

  #listen() {
    const { socket } = this.signalling;
    socket.on("new-producer", (producer) => this.later(this.#consume(producer)));
    socket.on("producer-closed", ({ producerId }) => this.lose(({ producer }) => producer === producerId));
    socket.on("participant-left", ({ participantId }) => {
      this.lose(({ participant }) => participant === participantId);
    });
  }

  async #transport(direction) {
    const answer = await this.signalling.request("create-transport", { ...this.#place, direction });
    const send = direction === "send";
    const transport = send
      ? this.device.createSendTransport(answer)
      : this.device.createRecvTransport(answer);
    const place = { ...this.#place, transportId: transport.id };
    transport.on("connect", ({ dtlsParameters }, callback, errback) => {
      const connected = this.signalling.request("connect-transport", { ...place, dtlsParameters });
      answerBy(connected, () => callback(), errback);
    });
    transport.on("produce", ({ kind, rtpParameters, appData }, callback, errback) => {
      const produced = this.signalling.request("produce", { ...place, kind, rtpParameters, appData });
      answerBy(produced, ({ producerId }) => callback({ id: producerId }), errback);
    });
    return transport;
  }

  async #consume({ producerId, participantId }) {
    if (participantId === this.#place.participantId || this.#known.has(producerId)) return;
    this.#known.add(producerId);
    const answer = await this.signalling.request("consume", {
      ...this.#place,
      producerId,
      rtpCapabilities: this.device.rtpCapabilities,
    });
    const consumer = await this.recvTransport.consume({
      id: answer.consumerId,
      producerId,
      kind: answer.kind,
      rtpParameters: answer.rtpParameters,
    });
    this.look({ producer: producerId, participant: participantId, consumer });
  }

  async pause({ name }) {
    const producer = this.producers.get(name);
    producer.pause();
    await this.signalling.request("pause-producer", { ...this.#place, producerId: producer.id });
  }

  async resume({ name }) {
    const producer = this.producers.get(name);
    producer.resume();
    await this.signalling.request("resume-producer", { ...this.#place, producerId: producer.id });
  }

  async leave() {
    this.signalling.socket.emit("leave-room", this.#place);
    await this.close();
    this.signalling.close();
  }
}
