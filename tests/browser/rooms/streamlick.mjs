// Behaves as Streamlick's studio does: websocket only, no token, acknowledgements, REST for the router's capabilities.

import { Participant } from "./participant.mjs";
import { answerBy, Signalling } from "./signalling.mjs";

export class Streamlick extends Participant {
  async join() {
    this.signalling = new Signalling(this.io, this.url, {
      transports: ["websocket"],
      reconnection: true,
      reconnectionAttempts: 10,
      reconnectionDelay: 1000,
      reconnectionDelayMax: 30_000,
      timeout: 20_000,
    });
    await this.signalling.connected();
    const response = await fetch(`${this.url}/broadcasts/${this.room}/rtp-capabilities`);
    const { rtpCapabilities } = await response.json();
    await this.load(rtpCapabilities);
    this.signalling.socket.on("new-producer", ({ producerId }) => this.later(this.#consume(producerId)));
    this.sendTransport = await this.#transport("send");
    this.recvTransport = await this.#transport("recv");
  }

  async #transport(direction) {
    const answer = await this.signalling.request("create-transport", { broadcastId: this.room, direction });
    const send = direction === "send";
    const transport = send
      ? this.device.createSendTransport(answer)
      : this.device.createRecvTransport(answer);
    transport.on("connect", ({ dtlsParameters }, callback, errback) => {
      const connected = this.signalling.request("connect-transport", {
        transportId: transport.id,
        dtlsParameters,
      });
      answerBy(connected, () => callback(), errback);
    });
    transport.on("produce", ({ kind, rtpParameters }, callback, errback) => {
      // No application data: the server is not told what is a screen.
      const produced = this.signalling.request("produce", { transportId: transport.id, kind, rtpParameters });
      answerBy(produced, ({ producerId }) => callback({ id: producerId }), errback);
    });
    return transport;
  }

  async #consume(producerId) {
    const answer = await this.signalling.request("consume", {
      broadcastId: this.room,
      producerId,
      rtpCapabilities: this.device.rtpCapabilities,
    });
    // The studio goes on with the transport that it has, whatever one is named here.
    const consumer = await this.recvTransport.consume({
      id: answer.consumerId,
      producerId: answer.producerId,
      kind: answer.kind,
      rtpParameters: answer.rtpParameters,
    });
    this.look({ producer: producerId, participant: null, consumer });
  }

  /** Only the browser knows: the dialect has no word for it. */
  pause({ name }) {
    this.producers.get(name).pause();
  }

  resume({ name }) {
    this.producers.get(name).resume();
  }

  /** Brings a picture and a sound to platforms; there is no acknowledgement. */
  startRtmp({ destinations, producers }) {
    const { video, audio } = producers ?? this.produced();
    this.signalling.socket.emit("start-rtmp", {
      broadcastId: this.room,
      destinations,
      compositeProducers: { videoProducerId: video, audioProducerId: audio },
    });
  }

  stopRtmp() {
    this.signalling.socket.emit("stop-rtmp", { broadcastId: this.room });
  }

  async leave() {
    await this.close();
    this.signalling.close();
  }
}
