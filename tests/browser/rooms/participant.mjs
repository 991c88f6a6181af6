// What all pages do alike, whatever the words of their dialect: publish a camera, look at others, pause, share, leave.

import { Camera } from "./camera.mjs";
import { Sight } from "./sight.mjs";

/** The layers of a simulcast camera, smallest first. */
const LAYERS = [
  { scaleResolutionDownBy: 4, maxBitrate: 100_000 },
  { scaleResolutionDownBy: 2, maxBitrate: 300_000 },
  { scaleResolutionDownBy: 1, maxBitrate: 900_000 },
];

export class Participant {
  /** In which order the client of the dialect sends its tracks; some servers cannot tell two at once. */
  order = ["video", "audio"];
  producers = new Map();
  sights = new Map();
  troubles = [];
  began = performance.now();

  constructor({ Device, io, options }) {
    const { url, room, name, user, token } = options;
    Object.assign(this, { Device, io, options, url, room, name, user, token });
    this.camera = new Camera(options.camera);
  }

  /** Loads a device with what the server can do. */
  async load(routerRtpCapabilities) {
    this.device = new this.Device();
    await this.device.load({ routerRtpCapabilities });
  }

  /** Sends the camera and the microphone. `codec` is a MIME type, `simulcast` asks for three layers. */
  async publish({ codec, simulcast = false, order = this.options.order ?? this.order } = {}) {
    for (const kind of order) {
      const more = kind === "video" ? this.#videoOptions(codec, simulcast) : {};
      await this.produce(kind, { track: this.camera[kind], stopTracks: false, ...more });
    }
    if (simulcast) await keepResolution(this.producers.get("video").rtpSender);
    return this.produced();
  }

  /** Sends a second picture, in another colour. */
  async share({ colour = [0, 120, 120], ...options } = {}) {
    this.screen = new Camera({ ...options, colour });
    await this.produce("screen", { track: this.screen.video, stopTracks: false, appData: this.screenData() });
    return this.produced();
  }

  /** Consumes what was there before, where the client does not do so by itself when it has come. */
  async receive() {}

  /** How the dialect says that a producer is a screen. */
  screenData() {
    return { screen: true };
  }

  async produce(name, options) {
    this.producers.set(name, await this.sendTransport.produce(options));
  }

  produced() {
    return Object.fromEntries([...this.producers].map(([name, { id }]) => [name, id]));
  }

  /** Waits for whatever a listener has begun, and keeps its trouble for the test to see. */
  later(promise) {
    promise.catch((error) => this.troubles.push(String(error)));
  }

  look({ producer, participant, consumer }) {
    const sight = new Sight({
      id: consumer.id,
      producer,
      participant,
      kind: consumer.kind,
      track: consumer.track,
      statistics: () => consumer.getStats(),
      sinceMs: this.began,
    });
    this.sights.set(consumer.id, { sight, consumer });
  }

  /** Forgets those that `lost` says, as the server told it. */
  lose(lost) {
    for (const [id, { sight, consumer }] of this.sights) {
      if (!lost(sight)) continue;
      consumer.close();
      sight.close();
      this.sights.delete(id);
    }
  }

  /** What is seen and heard of the others now. */
  seen() {
    return Promise.all([...this.sights.values()].map(({ sight }) => sight.seen()));
  }

  /** What this side has sent, by the name of its track. */
  async sent() {
    const entries = [...this.producers].map(async ([name, producer]) => {
      const report = [...(await producer.getStats()).values()];
      const layers = report.filter(({ type }) => type === "outbound-rtp");
      return [
        name,
        layers.map(
          ({
            rid,
            framesEncoded,
            frameWidth,
            keyFramesEncoded,
            pliCount,
            nackCount,
            packetsSent,
            targetBitrate,
          }) => ({
            rid: rid ?? null,
            framesEncoded,
            frameWidth,
            keyFramesEncoded,
            pliCount,
            nackCount,
            packetsSent,
            targetBitrate,
          }),
        ),
      ];
    });
    return { frames: this.camera.frames, ...Object.fromEntries(await Promise.all(entries)) };
  }

  async close() {
    this.lose(() => true);
    this.sendTransport?.close();
    this.recvTransport?.close();
    await this.camera.stop();
    await this.screen?.stop();
  }

  #videoOptions(codec, simulcast) {
    const codecs = this.device.rtpCapabilities?.codecs ?? this.device.recvRtpCapabilities.codecs;
    const found = codecs.find(({ mimeType }) => mimeType.toLowerCase() === codec?.toLowerCase());
    if (codec && !found) throw new Error(`the server does not offer ${codec}`);
    return { ...(found && { codec: found }), ...(simulcast && { encodings: LAYERS }) };
  }
}

/** On a machine that is busy Chromium would send fewer layers, and smaller ones; it is to send fewer pictures instead. */
function keepResolution(sender) {
  const parameters = sender.getParameters();
  parameters.degradationPreference = "maintain-resolution";
  return sender.setParameters(parameters);
}
