// What a participant sees and hears of another one's track.

/** How often the first picture is looked for, in milliseconds. */
const POLL_MS = 10;

/** Pictures are compared at this size. */
const [WIDTH, HEIGHT] = [64, 36];

export class Sight {
  firstFrameMs = null;
  #canvas = new OffscreenCanvas(WIDTH, HEIGHT);

  /** `sinceMs` is when the participant began to join, by the page's clock; `statistics` returns an `RTCStatsReport`. */
  constructor({ id, producer, participant, kind, track, statistics, sinceMs }) {
    Object.assign(this, { id, producer, participant, kind, track, statistics });
    this.consumedMs = performance.now() - sinceMs;
    this.element = document.createElement(kind);
    this.element.autoplay = true;
    this.element.srcObject = new MediaStream([track]);
    document.body.append(this.element);
    if (kind === "video") this.#watch(sinceMs);
  }

  async #watch(sinceMs) {
    while (this.firstFrameMs === null && this.track.readyState === "live") {
      const { framesDecoded } = await this.#inbound().catch(() => ({}));
      if (framesDecoded > 0) this.firstFrameMs = performance.now() - sinceMs;
      else await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #inbound() {
    const report = await this.statistics();
    const entry =
      [...report.values()].find(({ type, kind }) => type === "inbound-rtp" && kind === this.kind) ?? {};
    return { ...entry, codec: report.get(entry.codecId)?.mimeType };
  }

  async seen() {
    const { id, producer, participant, kind, track, consumedMs, firstFrameMs } = this;
    const entry = await this.#inbound().catch(() => ({}));
    const numbers = [
      "ssrc",
      "packetsReceived",
      "packetsLost",
      "bytesReceived",
      "framesDecoded",
      "framesDropped",
      "keyFramesDecoded",
      "frameWidth",
      "frameHeight",
      "framesPerSecond",
      "freezeCount",
      "pliCount",
      "nackCount",
      "retransmittedPacketsReceived",
      "totalAudioEnergy",
      "concealedSamples",
      "totalSamplesReceived",
    ];
    return {
      id,
      producer,
      participant,
      kind,
      state: track.readyState,
      muted: track.muted,
      consumedMs,
      firstFrameMs,
      codec: entry.codec ?? null,
      colour: kind === "video" ? this.#colour() : null,
      ...Object.fromEntries(numbers.map((name) => [name, entry[name] ?? 0])),
    };
  }

  /** The colour of the middle of the picture. */
  #colour() {
    if (this.element.videoWidth === 0) return null;
    const context = this.#canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.element, 0, 0, WIDTH, HEIGHT);
    return [...context.getImageData(WIDTH / 2, HEIGHT / 2, 1, 1).data.slice(0, 3)];
  }

  close() {
    this.element.srcObject = null;
    this.element.remove();
  }
}
