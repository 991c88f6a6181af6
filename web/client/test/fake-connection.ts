/** A peer connection that does what a test says; media and ICE are tested with a real browser. */

export class FakeConnection extends EventTarget {
  static made: FakeConnection[] = [];
  /** What becomes of a connection when it has got its answer. */
  static afterAnswer: (connection: FakeConnection) => void = (connection) => connection.become("connected");

  connectionState: RTCPeerConnectionState = "new";
  iceConnectionState = "new";
  iceGatheringState = "complete";
  signalingState = "stable";
  localDescription: { sdp: string } | undefined;
  onicecandidate: unknown;
  /** Grows with each look, as long as something is heard. */
  heard: number | undefined = 0;
  isSilent = false;

  constructor() {
    super();
    FakeConnection.made.push(this);
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.iceConnectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
    this.dispatchEvent(new Event("iceconnectionstatechange"));
  }

  async getStats(): Promise<Map<string, unknown>> {
    if (!this.isSilent && this.heard !== undefined) this.heard += 1;
    return new Map([["p", { type: "candidate-pair", bytesReceived: this.heard }]]);
  }

  async setLocalDescription(description?: { type: string }): Promise<void> {
    this.signalingState = description?.type === "rollback" ? "stable" : "have-local-offer";
    this.localDescription = { sdp: OFFER };
  }

  async setRemoteDescription(): Promise<void> {
    this.signalingState = "stable";
    FakeConnection.afterAnswer(this);
  }

  async createOffer(): Promise<{ type: string; sdp: string }> {
    return { type: "offer", sdp: OFFER };
  }

  restartIce(): void {
    this.restarts += 1;
  }
  restarts = 0;

  close(): void {
    this.signalingState = "closed";
    this.connectionState = "closed";
  }

  setConfiguration(): void {}

  addTransceiver(kind: string, init: { direction: string }): { receiver: { track: { kind: string } } } {
    this.transceivers.push(`${kind} ${init.direction}`);
    return { receiver: { track: { kind } } };
  }
  transceivers: string[] = [];

  getSenders(): [] {
    return [];
  }
}

const OFFER =
  "v=0\r\na=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n";
export const ANSWER =
  "v=0\r\na=ice-lite\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=ice-ufrag:g\r\na=ice-pwd:q\r\n";
export const FRAGMENT = "a=ice-ufrag:new\r\na=ice-pwd:new\r\n";
