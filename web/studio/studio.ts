/** The studio's desk: which pictures and sounds make up the programme. */

import type { VideoCodecName } from "@castgate/client";
import { batch, computed, effect, signal } from "@preact/signals";
import { type ChannelName, Mixer, UNITY_FADER } from "./audio/mixer.ts";
import type { SceneMemory } from "./broadcast/memory.ts";
import type { Parameters, PatternName, PictureName } from "./broadcast/parameters.ts";
import type { Programme } from "./broadcast/session.ts";
import { deviceErrorInWords } from "./broadcast/words.ts";
import { Compositor } from "./compositor/compositor.ts";
import { FLASH_MS, type Flash, FlashPattern } from "./compositor/flash-pattern.ts";
import type { Layout, Size } from "./compositor/layout.ts";
import { PaceWatch } from "./compositor/pace.ts";
import type { PictureSource } from "./compositor/source.ts";
import { StandbyCard } from "./compositor/standby-card.ts";
import { TestPicture } from "./compositor/test-picture.ts";
import { VideoSource } from "./compositor/video-source.ts";

export interface Strip {
  fader: number;
  muted: boolean;
}

/** How often the frame rate is looked at, in milliseconds. */
const PACE_LOOK_MS = 1_000;

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
  /** The rate that the browser leaves us, while it is much too low. */
  readonly slowedTo = signal<{ framesPerSecond: number; hidden: boolean } | undefined>(undefined);
  readonly usesTest = computed(() => this.main.value === "test" || this.second.value === "test");
  /** What belongs to the scene but is not there: a browser gives screens, and some cameras, only on a click. */
  readonly missing = computed<readonly ("camera" | "screen")[]>(() => {
    const wanted = [this.main.value, this.second.value];
    return (["camera", "screen"] as const).filter(
      (name) => wanted.includes(name) && !this.#open.value.has(name),
    );
  });
  readonly scene = computed<SceneMemory>(() => ({
    main: this.main.value,
    second: this.second.value,
    pattern: this.pattern.value,
    layout: this.layout.value,
    title: this.title.value,
    size: this.size.value,
    framesPerSecond: this.compositor.framesPerSecond,
    videoKbps: this.videoKbps.value,
    microphoneOn: this.microphoneOn.value,
    tuneOn: this.tuneOn.value,
  }));

  readonly #videoCodec: VideoCodecName;
  readonly #pictures = new Map<PictureName, PictureSource>();
  /** The devices among them, for what depends on their being there. */
  readonly #open = signal<ReadonlySet<PictureName>>(new Set());
  readonly #standby = new StandbyCard(() => this.title.value.headline);
  readonly #flashes: Flash[] = [];
  #microphoneStream: MediaStream | undefined;
  #stream: MediaStream | undefined;

  constructor(parameters: Parameters) {
    this.#videoCodec = parameters.videoCodec;
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
    this.#watchPace();
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.#listDevices());
  }

  /** Gives the programme as it goes out. The stream stays the same while the page lives. */
  programme(): Programme {
    this.#stream ??= new MediaStream([this.compositor.track(), this.mixer.track()]);
    return {
      stream: this.#stream,
      scene: this.scene.value,
      videoCodec: this.#videoCodec,
    };
  }

  /**
   * Puts the scene together as it was, as far as that goes without a click.
   *
   * Devices that need one stay in the scene as `missing`, with a card in their place.
   */
  async restore(scene: SceneMemory): Promise<void> {
    batch(() => {
      this.size.value = scene.size;
      this.pattern.value = scene.pattern;
      this.layout.value = scene.layout;
      this.title.value = scene.title;
      this.videoKbps.value = scene.videoKbps;
      this.main.value = scene.main;
      this.second.value = scene.second;
      this.tuneOn.value = scene.tuneOn;
    });
    const camera = this.missing.value.includes("camera") && (await isGranted("camera"));
    const microphone = scene.microphoneOn && (await isGranted("microphone"));
    await Promise.all([
      camera ? this.#openDevice("camera") : undefined,
      microphone ? this.useMicrophone(true) : undefined,
    ]);
  }

  /** Opens what is missing; to be called from a click. */
  async bringBack(name: "camera" | "screen"): Promise<void> {
    this.deviceError.value = "";
    await this.#openDevice(name);
  }

  /** Leaves a picture out for good. */
  async leaveOut(name: "camera" | "screen"): Promise<void> {
    if (this.second.value === name) await this.show("second", "none");
    else if (this.second.value !== "none") {
      this.swap();
      await this.show("second", "none");
    } else await this.show("main", "test");
  }

  /** Puts a picture in a place; opens its device first. False when that was refused. */
  async show(place: "main" | "second", name: PictureName): Promise<boolean> {
    this.deviceError.value = "";
    const [target, other] = place === "main" ? [this.main, this.second] : [this.second, this.main];
    if (name !== "none" && other.value === name) {
      this.swap();
      return true;
    }
    if (name !== "none" && !(await this.#openDevice(name))) return false;
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
    this.#drop("camera");
    await this.#openDevice("camera");
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

  async #openDevice(name: PictureName): Promise<boolean> {
    if (name === "none" || name === "test" || this.#pictures.has(name)) return true;
    try {
      const source = name === "camera" ? await this.#openCamera() : await this.#openScreen();
      await source.ready();
      this.#pictures.set(name, source);
      this.#open.value = new Set([...this.#open.value, name]);
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

  /** The picture went away by itself: the programme goes on with what is left, or with a card in its place. */
  #lost(name: PictureName, words: string): void {
    this.deviceError.value = words;
    if (this.main.value === name && this.second.value !== "none") this.swap();
    if (this.second.value === name) this.second.value = "none";
    this.#stop(name);
  }

  #close(name: PictureName): void {
    if (this.main.value !== name && this.second.value !== name) this.#stop(name);
  }

  #stop(name: PictureName): void {
    this.#pictures.get(name)?.stop();
    this.#drop(name);
    if (name === "screen") {
      this.mixer.unplug("screen");
      this.screenHasSound.value = false;
    }
  }

  #drop(name: PictureName): void {
    this.#pictures.delete(name);
    this.#open.value = new Set([...this.#open.value].filter((each) => each !== name));
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
    if (name === "none") return undefined;
    if (name !== "test") return this.#open.value.has(name) ? this.#pictures.get(name) : this.#standby;
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

  #watchPace(): void {
    const watch = new PaceWatch(this.compositor.framesPerSecond);
    setInterval(() => {
      const { framesPerSecond } = this.compositor.statistics();
      this.slowedTo.value = watch.look({ nowMs: Date.now(), framesPerSecond, hidden: document.hidden });
    }, PACE_LOOK_MS);
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

/** Whether a device may be opened without asking. */
async function isGranted(name: "camera" | "microphone"): Promise<boolean> {
  try {
    const status = await navigator.permissions.query({ name: name as PermissionName });
    return status.state === "granted";
  } catch {
    return false;
  }
}

function devices(): MediaDevices {
  // Absent on pages that came neither over HTTPS nor from this computer.
  if (navigator.mediaDevices === undefined) throw new DOMException("insecure page", "NotAllowedError");
  return navigator.mediaDevices;
}
