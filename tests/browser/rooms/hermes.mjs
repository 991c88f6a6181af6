// Behaves as a client of Hermes' media server would: sessions by REST alone, in snake_case. A session has one transport, and
// a browser's connection one direction, so there is a session for sending and one for receiving.

import { Participant } from "./participant.mjs";
import { answerBy } from "./signalling.mjs";

export class Hermes extends Participant {
  #sessions = [];
  signalling = { journal: [] };

  async join() {
    const sending = await this.#session(this.name);
    await this.load(sending.router_rtp_capabilities);
    this.sendTransport = this.device.createSendTransport(parametersOf(sending));
    this.#connect(this.sendTransport, sending);
    this.sendTransport.on("produce", ({ kind, rtpParameters }, callback, errback) => {
      const content = { kind, rtp_parameters: rtpParameters };
      const published = this.#request("POST", `/sessions/${sending.session_id}/publish`, content);
      answerBy(published, ({ track_id }) => callback({ id: track_id }), errback);
    });
    this.receiving = await this.#session(`${this.name}-receiving`);
    this.recvTransport = this.device.createRecvTransport(parametersOf(this.receiving));
    this.#connect(this.recvTransport, this.receiving);
  }

  async #session(user) {
    const session = await this.#request("POST", "/sessions", {
      type: "video",
      channel_id: this.room,
      user_id: user,
    });
    this.#sessions.push(session);
    return session;
  }

  #connect(transport, { session_id }) {
    transport.on("connect", ({ dtlsParameters }, callback, errback) => {
      const content = { dtls_parameters: dtlsParameters };
      const connected = this.#request("POST", `/sessions/${session_id}/connect`, content);
      answerBy(connected, () => callback(), errback);
    });
  }

  /** Whose tracks there are, another service tells. */
  async subscribe({ tracks }) {
    for (const track of tracks) {
      const answer = await this.#request("POST", `/sessions/${this.receiving.session_id}/subscribe`, {
        track_id: track,
        rtp_capabilities: this.device.rtpCapabilities,
      });
      const consumer = await this.recvTransport.consume({
        id: answer.consumer_id,
        producerId: answer.track_id,
        kind: answer.kind,
        rtpParameters: answer.rtp_parameters,
      });
      this.look({ producer: track, participant: answer.participant_id ?? null, consumer });
    }
  }

  statistics() {
    return this.#request("GET", `/sessions/${this.receiving.session_id}/stats`);
  }

  async #request(method, path, content) {
    const response = await fetch(this.url + path, {
      method,
      ...(content && { headers: { "content-type": "application/json" }, body: JSON.stringify(content) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }

  async leave() {
    // A session whose transports have ended is gone by itself.
    for (const { session_id } of this.#sessions) await this.#request("DELETE", `/sessions/${session_id}`);
    await this.close();
  }
}

function parametersOf({ transport_id, ice_parameters, ice_candidates, dtls_parameters }) {
  return {
    id: transport_id,
    iceParameters: ice_parameters,
    iceCandidates: ice_candidates,
    dtlsParameters: dtls_parameters,
  };
}
