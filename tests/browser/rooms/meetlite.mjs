// Behaves as MeetLite's first client does: no acknowledgements at all, every answer is an event, consumers are pushed.

import { Participant } from "./participant.mjs";
import { answerBy, Signalling } from "./signalling.mjs";

/** What a producer is called when it is paused, for the server has no other name for it. */
const NAMES = { video: "video", audio: "audio", screen: "screen-video" };

export class Meetlite extends Participant {
  order = ["audio", "video"];

  async join() {
    this.signalling = new Signalling(this.io, this.url, {
      auth: { token: this.token },
      query: { roomId: this.room },
      transports: ["websocket", "polling"],
      timeout: 10_000,
      reconnection: true,
      reconnectionAttempts: 3,
      reconnectionDelay: 2000,
    });
    await this.signalling.connected();
    this.#listen();
    const { rtpCapabilities } = await this.signalling.exchange(
      "join-room",
      { roomId: this.room },
      "router-rtp-capabilities",
    );
    await this.load(rtpCapabilities);
    this.sendTransport = await this.#transport("send");
    this.recvTransport = await this.#transport("recv");
    this.signalling.socket.emit("set-rtp-capabilities", { rtpCapabilities: this.device.rtpCapabilities });
  }

  #listen() {
    const { socket } = this.signalling;
    socket.on("new-consumer", (consumer) => this.later(this.#consume(consumer)));
    socket.on("consumer-closed", ({ consumerId }) => this.lose(({ id }) => id === consumerId));
    socket.on("consumer-producer-closed", ({ consumerId }) => this.lose(({ id }) => id === consumerId));
    socket.on("participant-left", ({ participantId }) => {
      this.lose(({ participant }) => participant === participantId);
    });
  }

  async #transport(direction) {
    const { id, iceParameters, iceCandidates, dtlsParameters, ...rest } = await this.signalling.exchange(
      "create-webrtc-transport",
      { roomId: this.room, direction },
      "webrtc-transport-created",
    );
    if (rest.direction !== direction) throw new Error(`${rest.direction} instead of ${direction}`);
    const parameters = { id, iceParameters, iceCandidates, dtlsParameters };
    const send = direction === "send";
    const transport = send
      ? this.device.createSendTransport(parameters)
      : this.device.createRecvTransport(parameters);
    transport.on("connect", ({ dtlsParameters: ours }, callback) => {
      // Without the transport's name, and without waiting for anything.
      this.signalling.socket.emit("connect-webrtc-transport", { dtlsParameters: ours, direction });
      callback();
    });
    transport.on("produce", ({ kind, rtpParameters, appData }, callback, errback) => {
      const produced = this.signalling.exchange(
        "create-producer",
        { kind, rtpParameters, appData },
        "producer-created",
      );
      answerBy(produced, ({ producerId }) => callback({ id: producerId }), errback);
    });
    return transport;
  }

  async #consume({ participantId, producerId, consumerId, kind, rtpParameters }) {
    const consumer = await this.recvTransport.consume({ id: consumerId, producerId, kind, rtpParameters });
    this.look({ producer: producerId, participant: participantId, consumer });
    this.signalling.socket.emit("resume-consumer", { consumerId });
  }

  pause({ name }) {
    this.producers.get(name).pause();
    this.signalling.socket.emit("pause-producer", { kind: NAMES[name] });
    this.#tellState();
  }

  resume({ name }) {
    this.producers.get(name).resume();
    this.signalling.socket.emit("resume-producer", { kind: NAMES[name] });
    this.#tellState();
  }

  stopSharing() {
    this.producers.get("screen").close();
    this.producers.delete("screen");
    this.signalling.socket.emit("close-producer", { kind: NAMES.screen });
  }

  #tellState() {
    const on = (name) => this.producers.get(name)?.paused === false;
    this.signalling.socket.emit("media-state-change", {
      roomId: this.room,
      audioEnabled: on("audio"),
      videoEnabled: on("video"),
    });
  }

  async leave() {
    await this.close();
    this.signalling.close();
  }
}
