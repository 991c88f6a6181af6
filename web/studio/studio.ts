/** The studio's desk: which pictures and sounds make up the programme. */

import { batch, computed, effect, signal } from "@preact/signals";
import { type ChannelName, Mixer, UNITY_FADER } from "./audio/mixer.ts";
import type { Parameters, PatternName, PictureName } from "./broadcast/parameters.ts";
import type { Programme } from "./broadcast/session.ts";
import { deviceErrorInWords } from "./broadcast/words.ts";
import { Compositor } from "./compositor/compositor.ts";
import { FLASH_MS, type Flash, FlashPattern } from "./compositor/flash-pattern.ts";
import type { Layout, Size } from "./compositor/layout.ts";
import type { PictureSource } from "./compositor/source.ts";
import { TestPicture } from "./compositor/test-picture.ts";
import { VideoSource } from "./compositor/video-source.ts";

export interface Strip {
  fader: number;
  muted: boolean;
}

/** Flashes kept for the measurements of tests. */
const FLASHES_KEPT = 120;

export class Studio {
  readonly compositor: Compositor;
  readonly mixer = new Mixer(FLASH_MS);

  readonly main = signal<PictureName>("none");
  readonly second = signal<PictureName>("none");
  readonly pattern = signal<PatternName>("motion");
  readonly layout = signal<Layout>("full");
  readonly title = signal({ visible: false, headline: "", subline: "" });
  readonly size = signal<Size>({ width: 1280, height: 720 });
  readonly videoKbps = signal(4500);
  readonly cameras = signal<readonly MediaDeviceInfo[]>([]);
  readonly microphones = signal<readonly MediaDeviceInfo[]>([]);
  readonly camera = signal("");
  readonly microphone = signal("");
  readonly microphoneOn = signal(false);
  readonly screenHasSound = signal(false);
  readonly tuneOn = signal(false);
  readonly monitoring = signal(false);
  readonly silent = signal(true);
  readonly deviceError = signal("");
  readonly strips = signal<Readonly<Record<ChannelName, Strip>>>({
    microphone: { fader: UNITY_FADER, muted: false },
    screen: { fader: UNITY_FADER, muted: false },
    test: { fader: UNITY_FADER, muted: false },
  });
  readonly usesTest = computed(() => this.main.value === "test" || this.second.value === "test");

  readonly #pictures = new Map<PictureName, PictureSource>();
  readonly #flashes: Flash[] = [];
  #microphoneStream: MediaStream | undefined;
  #stream: MediaStream | undefined;

  constructor(parameters: Parameters) {
    this.size.value = parameters.size;
    this.pattern.value = parameters.pattern;
    this.layout.value = parameters.layout;
    this.videoKbps.value = parameters.videoKbps;
    this.title.value = {
      visible: parameters.title !== "",
      headline: parameters.title,
      subline: parameters.subtitle,
    };
    this.compositor = new Compositor(parameters.size, parameters.framesPerSecond);
    this.compositor.onFrame = (nowMs) => this.mixer.observe(nowMs);
    effect(() => this.compositor.resize(this.size.value));
    effect(() => this.#arrange());
    effect(() => this.mixer.playTune(this.tuneOn.value && this.pattern.value === "motion"));
    effect(() => {
      this.mixer.monitoring = this.monitoring.value;
    });
    this.mixer.context.onstatechange = () => this.#heed();
    this.#heed();
  }

  get flashes(): readonly Flash[] {
    return this.#flashes;
  }

  start(): void {
    this.compositor.start();
    void this.#listDevices();
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#listDevices());
  }

  /** Gives the programme as it goes out. The stream stays the same while the page lives. */
  programme(): Programme {
    this.#stream ??= new MediaStream([this.compositor.track(), this.mixer.track()]);
    return {
      stream: this.#stream,
      videoKbps: this.videoKbps.value,
      framesPerSecond: this.compositor.framesPerSecond,
      main: this.main.value,
      second: this.second.value,
    };
  }

  /** Puts a picture in a place; opens its device first. False when that was refused. */
  async show(place: "main" | "second", name: PictureName): Promise<boolean> {
    this.deviceError.value = "";
    const [target, other] = place === "main" ? [this.main, this.second] : [this.second, this.main];
    if (name !== "none" && other.value === name) {
      this.swap();
      return true;
    }
    if (name !== "none" && !(await this.#open(name))) return false;
    const before = target.value;
    target.value = name;
    if (name === "test" && before !== "test" && !this.microphoneOn.value) this.tuneOn.value = true;
    if (!this.usesTest.value) this.tuneOn.value = false;
    if (place === "second" && name !== "none" && this.layout.value === "full") {
      this.layout.value = "picture-in-picture";
    }
    this.#close(before);
    return true;
  }

  swap(): void {
    batch(() => {
      const main = this.main.value;
      this.main.value = this.second.value;
      this.second.value = main;
    });
  }

  async chooseCamera(deviceId: string): Promise<void> {
    this.camera.value = deviceId;
    if (!this.#pictures.has("camera")) return;
    this.#pictures.get("camera")?.stop();
    this.#pictures.delete("camera");
    await this.#open("camera");
    this.#arrange();
  }

  async useMicrophone(on: boolean, deviceId = this.microphone.value): Promise<void> {
    this.deviceError.value = "";
    this.microphone.value = deviceId;
    for (const track of this.#microphoneStream?.getTracks() ?? []) track.stop();
    this.#microphoneStream = undefined;
    this.mixer.unplug("microphone");
    this.microphoneOn.value = false;
    if (!on) return;
    try {
      this.#microphoneStream = await devices().getUserMedia({
        audio: { ...(deviceId === "" ? {} : { deviceId: { exact: deviceId } }), echoCancellation: true },
      });
      this.mixer.plug("microphone", this.#microphoneStream);
      this.microphone.value = deviceOf(this.#microphoneStream.getAudioTracks());
      this.microphoneOn.value = true;
      await this.#listDevices();
    } catch (error) {
      this.deviceError.value = deviceErrorInWords("The microphone", error);
    }
  }

  setStrip(name: ChannelName, change: Partial<Strip>): void {
    const strip = { ...this.strips.value[name], ...change };
    this.strips.value = { ...this.strips.value, [name]: strip };
    this.mixer.channels[name].fader = strip.fader;
    this.mixer.channels[name].muted = strip.muted;
  }

  /** To be called from every click and key: only then may a page make sound. */
  wake(): void {
    this.mixer.wake();
  }

  async #open(name: PictureName): Promise<boolean> {
    if (name === "none" || name === "test" || this.#pictures.has(name)) return true;
    try {
      const source = name === "camera" ? await this.#openCamera() : await this.#openScreen();
      await source.ready();
      this.#pictures.set(name, source);
      await this.#listDevices();
      return true;
    } catch (error) {
      this.deviceError.value = deviceErrorInWords(name === "camera" ? "The camera" : "The screen", error);
      return false;
    }
  }

  async #openCamera(): Promise<VideoSource> {
    const { width, height } = this.size.value;
    const deviceId = this.camera.value;
    const stream = await devices().getUserMedia({
      video: {
        ...(deviceId === "" ? {} : { deviceId: { exact: deviceId } }),
        width: { ideal: width },
        height: { ideal: height },
        frameRate: { ideal: this.compositor.framesPerSecond },
      },
    });
    this.camera.value = deviceOf(stream.getVideoTracks());
    return new VideoSource(stream, "cover", () => this.#lost("camera", "The camera was unplugged."));
  }

  async #openScreen(): Promise<VideoSource> {
    const stream = await devices().getDisplayMedia({
      video: { frameRate: { ideal: this.compositor.framesPerSecond } },
      audio: true,
    });
    this.mixer.plug("screen", stream);
    this.screenHasSound.value = stream.getAudioTracks().length > 0;
    return new VideoSource(stream, "contain", () => this.#lost("screen", "The screen is no longer shared."));
  }

  /** The picture went away by itself: the programme goes on with what is left. */
  #lost(name: PictureName, words: string): void {
    this.deviceError.value = words;
    if (this.second.value === name) this.second.value = "none";
    if (this.main.value === name) this.main.value = this.second.value === "none" ? "test" : this.second.value;
    if (this.main.value === this.second.value) this.second.value = "none";
    this.#close(name);
  }

  #close(name: PictureName): void {
    if (this.main.value === name || this.second.value === name) return;
    this.#pictures.get(name)?.stop();
    this.#pictures.delete(name);
    if (name === "screen") {
      this.mixer.unplug("screen");
      this.screenHasSound.value = false;
    }
  }

  #arrange(): void {
    this.compositor.scene = {
      layout: this.layout.value,
      main: this.#picture(this.main.value),
      second: this.#picture(this.second.value),
      title: this.title.value,
    };
  }

  #picture(name: PictureName): PictureSource | undefined {
    if (name !== "test") return this.#pictures.get(name);
    const pattern = this.pattern.value;
    const known = this.#pictures.get("test");
    const fits = pattern === "flash" ? known instanceof FlashPattern : known instanceof TestPicture;
    if (known !== undefined && fits) return known;
    const made = pattern === "flash" ? new FlashPattern((flash) => this.#onFlash(flash)) : new TestPicture();
    this.#pictures.set("test", made);
    return made;
  }

  #onFlash(flash: Flash): void {
    this.mixer.beep(flash.atMs);
    this.#flashes.push(flash);
    if (this.#flashes.length > FLASHES_KEPT) this.#flashes.shift();
  }

  #heed(): void {
    this.silent.value = this.mixer.isWaitingForGesture;
  }

  async #listDevices(): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const named = (kind: MediaDeviceKind): MediaDeviceInfo[] =>
      all.filter((device) => device.kind === kind && device.deviceId !== "" && device.label !== "");
    this.cameras.value = named("videoinput");
    this.microphones.value = named("audioinput");
  }
}

function deviceOf(tracks: readonly MediaStreamTrack[]): string {
  return tracks[0]?.getSettings().deviceId ?? "";
}

function devices(): MediaDevices {
  // Absent on pages that came neither over HTTPS nor from this computer.
  if (navigator.mediaDevices === undefined) throw new DOMException("insecure page", "NotAllowedError");
  return navigator.mediaDevices;
}
