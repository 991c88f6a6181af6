/** Mixes microphone, shared sound and test sounds into one stereo track. */

import { AudioClock } from "./audio-clock.ts";
import { faderGain, limiterCurve } from "./levels.ts";
import { beep, tune } from "./tones.ts";

export type ChannelName = "microphone" | "screen" | "test";

/** The fader's place for 0 dB. */
export const UNITY_FADER = 0.75;

/** How fast faders follow, in seconds: quick, but without clicks. */
const FADE_SECONDS = 0.015;

/** One strip of the desk. */
export class Channel {
  readonly input: GainNode;
  readonly #meter: AnalyserNode;
  readonly #samples: Float32Array<ArrayBuffer>;
  #fader = UNITY_FADER;
  #muted = false;

  constructor(context: AudioContext, output: AudioNode) {
    this.input = context.createGain();
    this.#meter = context.createAnalyser();
    this.#meter.fftSize = 2048;
    this.#samples = new Float32Array(this.#meter.fftSize);
    this.input.connect(output);
    this.input.connect(this.#meter);
    this.#apply();
  }

  get fader(): number {
    return this.#fader;
  }

  set fader(position: number) {
    this.#fader = position;
    this.#apply();
  }

  get muted(): boolean {
    return this.#muted;
  }

  set muted(muted: boolean) {
    this.#muted = muted;
    this.#apply();
  }

  /** The highest amplitude of the last 43 ms, after fader and mute. */
  level(): number {
    return peak(this.#meter, this.#samples);
  }

  #apply(): void {
    const gain = this.#muted ? 0 : faderGain(this.#fader);
    this.input.gain.setTargetAtTime(gain, this.input.context.currentTime, FADE_SECONDS);
  }
}

export class Mixer {
  readonly context = new AudioContext({ sampleRate: 48_000, latencyHint: "interactive" });
  readonly channels: Readonly<Record<ChannelName, Channel>>;
  readonly #output: MediaStreamAudioDestinationNode;
  readonly #limiter: WaveShaperNode;
  readonly #monitor: GainNode;
  readonly #meters: readonly [AnalyserNode, AnalyserNode];
  readonly #samples: Float32Array<ArrayBuffer>;
  readonly #inputs = new Map<ChannelName, AudioNode>();
  #tune: AudioBufferSourceNode | undefined;
  readonly #beep: AudioBuffer;
  readonly #clock = new AudioClock();

  constructor(beepMs: number) {
    const { context } = this;
    this.#beep = beep(context, beepMs);
    this.#output = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    const sum = new GainNode(context, { gain: 0.5, channelCount: 2, channelCountMode: "explicit" });
    this.#limiter = new WaveShaperNode(context, { curve: limiterCurve(8193), oversample: "none" });
    sum.connect(this.#limiter).connect(this.#output);
    this.#monitor = new GainNode(context, { gain: 0 });
    this.#limiter.connect(this.#monitor).connect(context.destination);

    const splitter = context.createChannelSplitter(2);
    this.#limiter.connect(splitter);
    this.#meters = [context.createAnalyser(), context.createAnalyser()];
    this.#meters.forEach((meter, side) => {
      meter.fftSize = 2048;
      splitter.connect(meter, side);
    });
    this.#samples = new Float32Array(2048);

    const channel = (): Channel => new Channel(context, sum);
    this.channels = { microphone: channel(), screen: channel(), test: channel() };
  }

  /** The mix as a track; it carries silence until the browser lets the page make sound. */
  track(): MediaStreamTrack {
    const [track] = this.#output.stream.getAudioTracks();
    if (track === undefined) throw new Error("this browser cannot capture sound");
    return track;
  }

  /** Whether the browser still waits for a click or a key before the page may make sound. */
  get isWaitingForGesture(): boolean {
    return this.context.state === "suspended";
  }

  /** To be called from a click or a key. Does not wait: without one the browser's answer never comes. */
  wake(): void {
    if (this.context.state === "suspended") void this.context.resume().catch(() => undefined);
  }

  /** Puts a device's sound onto a channel, in place of what was there. */
  plug(name: Exclude<ChannelName, "test">, stream: MediaStream): void {
    this.unplug(name);
    if (stream.getAudioTracks().length === 0) return;
    const input = this.context.createMediaStreamSource(new MediaStream(stream.getAudioTracks()));
    input.connect(this.channels[name].input);
    this.#inputs.set(name, input);
  }

  unplug(name: ChannelName): void {
    this.#inputs.get(name)?.disconnect();
    this.#inputs.delete(name);
  }

  isPlugged(name: ChannelName): boolean {
    return name === "test" ? this.#tune !== undefined : this.#inputs.has(name);
  }

  playTune(play: boolean): void {
    this.#tune?.stop();
    this.#tune?.disconnect();
    this.#tune = undefined;
    if (!play) return;
    this.#tune = new AudioBufferSourceNode(this.context, { buffer: tune(this.context), loop: true });
    this.#tune.connect(this.channels.test.input);
    this.#tune.start();
  }

  /** Keeps the beeps' clock right; to be called with every frame. */
  observe(nowMs: number): void {
    if (this.context.state === "running") this.#clock.observe(nowMs, this.context.currentTime);
  }

  /** Beeps at an instant of the page's clock that is just passing. */
  beep(nowMs: number): void {
    if (this.context.state !== "running") return;
    const source = new AudioBufferSourceNode(this.context, { buffer: this.#beep });
    source.connect(this.channels.test.input);
    source.onended = () => source.disconnect();
    source.start(this.#clock.secondsAt(nowMs) ?? 0);
  }

  /** Lets the host hear the mix. Off at first: a microphone beside a loudspeaker howls. */
  set monitoring(on: boolean) {
    this.#monitor.gain.setTargetAtTime(on ? 1 : 0, this.context.currentTime, FADE_SECONDS);
  }

  /** The highest amplitudes of the last 43 ms of the mix, left and right. */
  levels(): [number, number] {
    return [peak(this.#meters[0], this.#samples), peak(this.#meters[1], this.#samples)];
  }
}

function peak(meter: AnalyserNode, samples: Float32Array<ArrayBuffer>): number {
  meter.getFloatTimeDomainData(samples);
  let highest = 0;
  for (const sample of samples) highest = Math.max(highest, Math.abs(sample));
  return highest;
}
