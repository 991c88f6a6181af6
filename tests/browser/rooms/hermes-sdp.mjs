// Behaves as a client of Hermes' voice service would: a bare connection of the browser's own, whose offers go to one session.

import { Participant } from "./participant.mjs";

export class HermesSdp extends Participant {
  signalling = { journal: [] };
  #connection = new RTCPeerConnection();

  /** There is nothing to load and nothing to ask before the first offer. */
  async join() {}

  async publish() {
    for (const kind of ["audio", "video"]) {
      this.#connection.addTransceiver(this.camera[kind], { direction: "sendonly" });
    }
    const { session_id, tracks } = await this.#offer("/sessions", {
      type: "video",
      channel_id: this.room,
      user_id: this.name,
    });
    this.session = session_id;
    this.tracks = Object.fromEntries(tracks.map(({ kind, track_id }) => [kind, track_id]));
    return this.tracks;
  }

  produced() {
    return this.tracks;
  }

  /** Receives the others' tracks by one more offer on the same connection. */
  async subscribe({ tracks }) {
    const transceivers = ["video", "audio"].map((kind) =>
      this.#connection.addTransceiver(kind, { direction: "recvonly" }),
    );
    const answer = await this.#offer(`/sessions/${this.session}/subscribe`, {
      type: "offer",
      track_ids: tracks,
    });
    for (const { receiver, mid } of transceivers) {
      const { track_id: producer } = answer.tracks.find((track) => track.mid === mid);
      const { track } = receiver;
      this.look({
        producer,
        participant: null,
        consumer: { id: mid, kind: track.kind, track, getStats: () => receiver.getStats(), close() {} },
      });
    }
  }

  async #offer(path, content) {
    const connection = this.#connection;
    await connection.setLocalDescription();
    const response = await fetch(this.url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...content, sdp: connection.localDescription.sdp }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    const answer = JSON.parse(text);
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp_answer });
    return answer;
  }

  async leave() {
    await this.close();
    this.#connection.close();
    await fetch(`${this.url}/sessions/${this.session}`, { method: "DELETE" });
  }
}
