/** Watches a broadcast over WHEP and goes on watching: what the gateway receives, with next to no delay. */

import type { TokenSource } from "./api.ts";
import { Backoff, pause } from "./backoff.ts";
import { changed, connected, heardBytes, withLimit } from "./connection.ts";
import { CastgateError } from "./errors.ts";
import { watchForTrouble } from "./hints.ts";
import { candidateFragment, isIceLite } from "./sdp.ts";
import { Vigil } from "./vigil.ts";
import { type WhipSession, WhipSignalling } from "./whip-signalling.ts";

export type ViewerState = "idle" | "connecting" | "watching" | "reconnecting" | "failed" | "stopped";

export interface ViewerOptions {
  /** The broadcast's `whepUrl`. */
  url: string;
  token?: TokenSource;
  iceServers?: RTCIceServer[];
  fetch?: typeof fetch;
  backoff?: Backoff;
  /** How to wait; timers of the page when absent. */
  wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  /** Called with the picture and the sound, again after each reconnection. They stay black and silent until the studio sends. */
  onStream?: (stream: MediaStream) => void;
  onState?: (state: ViewerState, error?: CastgateError) => void;
}

/** What the browser says of what it receives. */
export interface ViewerStatistics {
  videoCodec?: string;
  width?: number;
  height?: number;
  framesDecoded: number;
  framesDropped: number;
  freezes: number;
  packetsReceived: number;
  packetsLost: number;
  /** Loudness so far, as the browser sums it up; it grows only while something is heard. */
  audioEnergy: number;
  /** Of the sound now, 0 to 1. */
  audioLevel: number;
}

/** How long the gateway may take to answer. */
const ANSWER_PATIENCE_MS = 6_000;

/** How long a connection may take to come up. */
const CONNECT_PATIENCE_MS = 12_000;

/** How often a connection is looked at. */
const LOOK_MS = 1_000;

/** The longest pause between attempts. */
const LONGEST_PAUSE_MS = 5_000;

interface Link {
  connection: RTCPeerConnection;
  session: WhipSession;
}

/** Begins to watch; see {@link WhepViewer}. */
export function watch(options: ViewerOptions): WhepViewer {
  const viewer = new WhepViewer(options);
  void viewer.start();
  return viewer;
}

export class WhepViewer {
  readonly #options: ViewerOptions;
  readonly #signalling: WhipSignalling;
  readonly #backoff: Backoff;
  readonly #wait: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly #stopping = new AbortController();
  #state: ViewerState = "idle";
  #link: Link | undefined;
  #onHint: () => void = () => undefined;

  constructor(options: ViewerOptions) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff({ longestMs: LONGEST_PAUSE_MS });
    this.#wait = options.wait ?? pause;
    this.#signalling = new WhipSignalling({
      token: options.token,
      ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    });
  }

  get state(): ViewerState {
    return this.#state;
  }

  /** Watches until {@link stop}, or until the gateway refuses for good. Never rejects: `onState` tells. */
  async start(): Promise<void> {
    if (this.#state !== "idle") return;
    const signal = this.#stopping.signal;
    const hints = watchForTrouble(() => this.#onHint());
    signal.addEventListener("abort", hints, { once: true });
    this.#become("connecting");
    while (!signal.aborted) {
      try {
        const link = await this.#connect(signal);
        this.#link = link;
        this.#backoff.reset();
        this.#become("watching");
        await this.#untilTrouble(link.connection, signal);
        throw new CastgateError("connection_lost", "the connection to the gateway was lost", 0);
      } catch (cause) {
        this.#dropLink();
        if (signal.aborted) return;
        const error = toldOf(cause);
        if (isFinal(error)) {
          this.#stopping.abort(error);
          this.#become("failed", error);
          return;
        }
        this.#become("reconnecting", error);
        const pauseMs = Math.max(this.#backoff.nextMs(), error.retryAfterMs ?? 0);
        await this.#wait(pauseMs, signal).catch(() => undefined);
      }
    }
  }

  /** Ends the session. */
  stop(): void {
    if (this.#state === "stopped") return;
    this.#stopping.abort(new CastgateError("aborted", "the viewer was stopped", 0));
    this.#become("stopped");
    this.#dropLink();
  }

  /** What has been received; `undefined` while there is no connection. */
  async statistics(): Promise<ViewerStatistics | undefined> {
    const report = await this.#link?.connection.getStats();
    return report === undefined ? undefined : viewerStatistics(report as unknown as StatsReport);
  }

  async #connect(signal: AbortSignal): Promise<Link> {
    const { iceServers, onStream, url } = this.#options;
    const connection = new RTCPeerConnection({
      bundlePolicy: "max-bundle",
      ...(iceServers === undefined ? {} : { iceServers }),
    });
    try {
      const candidates: RTCIceCandidate[] = [];
      connection.onicecandidate = ({ candidate }) => {
        if (candidate !== null && candidate.candidate !== "") candidates.push(candidate);
      };
      const stream = new MediaStream();
      for (const kind of ["audio", "video"]) {
        stream.addTrack(connection.addTransceiver(kind, { direction: "recvonly" }).receiver.track);
      }
      await connection.setLocalDescription();
      const offer = connection.localDescription?.sdp ?? "";
      const limit = withLimit(signal, ANSWER_PATIENCE_MS);
      const session = await this.#signalling.open(url, offer, undefined, limit.signal).finally(limit.lift);
      try {
        if (session.iceServers.length > 0) connection.setConfiguration({ iceServers: session.iceServers });
        await connection.setRemoteDescription({ type: "answer", sdp: session.answer });
        if (!isIceLite(session.answer)) {
          const complete = connection.iceGatheringState === "complete";
          const fragment = candidateFragment(offer, candidates, complete);
          void this.#signalling.trickle(session, fragment).catch(() => undefined);
        }
        onStream?.(stream);
        await connected(connection, signal, CONNECT_PATIENCE_MS);
        return { connection, session };
      } catch (cause) {
        void this.#signalling.close(session).catch(() => undefined);
        throw cause;
      }
    } catch (cause) {
      connection.close();
      throw cause;
    }
  }

  /** Resolves once the connection carries nothing any more. A viewer that has lost one simply opens another. */
  async #untilTrouble(connection: RTCPeerConnection, signal: AbortSignal): Promise<void> {
    const vigil = new Vigil();
    for (;;) {
      signal.throwIfAborted();
      const heard = await heardBytes(connection);
      const sighting = { nowMs: Date.now(), state: connection.connectionState, heardBytes: heard };
      if (vigil.look(sighting) !== "fine") return;
      const hinted = new Promise<void>((resolve) => {
        this.#onHint = () => {
          vigil.hint();
          resolve();
        };
      });
      await changed(connection, Promise.race([this.#wait(LOOK_MS, signal), hinted]));
    }
  }

  #dropLink(): void {
    const link = this.#link;
    this.#link = undefined;
    link?.connection.close();
    if (link !== undefined) void this.#signalling.close(link.session).catch(() => undefined);
  }

  #become(state: ViewerState, error?: CastgateError): void {
    this.#state = state;
    this.#options.onState?.(state, error);
  }
}

/** Whether there is no use in trying again. A broadcast that no studio has sent to yet may still begin. */
function isFinal({ code, status }: CastgateError): boolean {
  if (status === 0) return code === "misuse" || code === "webrtc_failed";
  const passing = [408, 409, 425, 429].includes(status) || status < 400 || status >= 500;
  return !passing;
}

function toldOf(cause: unknown): CastgateError {
  if (cause instanceof CastgateError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new CastgateError("webrtc_failed", message, 0, undefined, undefined, { cause });
}

type StatsReport = ReadonlyMap<string, Readonly<Record<string, unknown>>>;

function viewerStatistics(report: StatsReport): ViewerStatistics {
  const inbound = (kind: string): Readonly<Record<string, unknown>> =>
    [...report.values()].find((entry) => entry.type === "inbound-rtp" && entry.kind === kind) ?? {};
  const number = (entry: Readonly<Record<string, unknown>>, name: string): number =>
    typeof entry[name] === "number" ? entry[name] : 0;
  const [video, audio] = [inbound("video"), inbound("audio")];
  const codec = report.get(String(video.codecId))?.mimeType;
  return {
    ...(typeof codec === "string" ? { videoCodec: codec } : {}),
    ...(number(video, "frameWidth") > 0
      ? { width: number(video, "frameWidth"), height: number(video, "frameHeight") }
      : {}),
    framesDecoded: number(video, "framesDecoded"),
    framesDropped: number(video, "framesDropped"),
    freezes: number(video, "freezeCount"),
    packetsReceived: number(video, "packetsReceived"),
    packetsLost: number(video, "packetsLost"),
    audioEnergy: number(audio, "totalAudioEnergy"),
    audioLevel: number(audio, "audioLevel"),
  };
}
