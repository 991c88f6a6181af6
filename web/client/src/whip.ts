/** Publishes a stream over WHIP and keeps it published: ICE restarts, takeovers and new attempts. */

import type { TokenSource } from "./api.ts";
import { Backoff, pause } from "./backoff.ts";
import { preferH264 } from "./codecs.ts";
import { CastgateError } from "./errors.ts";
import { answerAfterRestart, candidateFragment, isIceLite, restartFragment } from "./sdp.ts";
import { type UplinkStatistics, uplinkFromReport } from "./uplink.ts";
import { type WhipSession, WhipSignalling } from "./whip-signalling.ts";

export type PublisherState = "idle" | "connecting" | "live" | "reconnecting" | "failed" | "stopped";

export interface PublisherOptions {
  /** The broadcast's `whipUrl`. */
  url: string;
  /** One picture track, and one sound track where there is sound. */
  stream: MediaStream;
  token?: TokenSource;
  /** From an earlier connection of the same studio, so that this one takes over from it. */
  resumeToken?: string;
  /** The most the browser may spend on the picture; 4500 when absent. */
  maxVideoKbps?: number;
  /** The most frames per second to encode; as many as the track gives when absent. */
  maxFramesPerSecond?: number;
  /** What to give up under pressure; `maintain-resolution` when absent, since platforms dislike a changing size. */
  degradationPreference?: RTCDegradationPreference;
  /** What the picture is; `motion` when absent. */
  contentHint?: "motion" | "detail" | "text" | "";
  iceServers?: RTCIceServer[];
  fetch?: typeof fetch;
  backoff?: Backoff;
  onState?: (state: PublisherState, error?: CastgateError) => void;
  /** Called with the token to keep for a takeover after a reload. */
  onResumeToken?: (token: string) => void;
}

const DEFAULT_VIDEO_KBPS = 4500;

/** How long ICE may be interrupted before it is restarted: shorter ones heal by themselves. */
const INTERRUPTION_PATIENCE_MS = 2_000;

/** How long a new or restarted connection may take to come up. */
const CONNECT_PATIENCE_MS = 12_000;

/** The least span over which rates are taken, in milliseconds: callers may ask as often as they like. */
const RATE_SPAN_MS = 900;

interface Link {
  connection: RTCPeerConnection;
  session: WhipSession;
  /** The remote description as last set, which restarts rewrite. */
  answer: string;
}

export class WhipPublisher {
  readonly #options: PublisherOptions;
  readonly #signalling: WhipSignalling;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #state: PublisherState = "idle";
  #error: CastgateError | undefined;
  #link: Link | undefined;
  #resumeToken: string | undefined;
  #baseline: UplinkStatistics | undefined;
  #reconnects = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#resumeToken = options.resumeToken;
    this.#backoff = options.backoff ?? new Backoff();
    this.#signalling = new WhipSignalling({
      token: options.token,
      ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    });
  }

  get state(): PublisherState {
    return this.#state;
  }

  /** Why it failed or is reconnecting. */
  get error(): CastgateError | undefined {
    return this.#error;
  }

  get resumeToken(): string | undefined {
    return this.#resumeToken;
  }

  /** How often the connection had to be made anew or restarted. */
  get reconnects(): number {
    return this.#reconnects;
  }

  /** The connection, for measurements. */
  get connection(): RTCPeerConnection | undefined {
    return this.#link?.connection;
  }

  /**
   * Publishes; resolves once media flows and rejects when the gateway refuses or cannot be reached.
   *
   * After that the publisher looks after itself until {@link stop} or until the gateway refuses for good.
   */
  async start(): Promise<void> {
    if (this.#state !== "idle") throw new CastgateError("misuse", "a publisher is started once", 0);
    this.#become("connecting");
    try {
      this.#link = await this.#connect();
    } catch (cause) {
      const error = this.#told(cause);
      if (!this.#stopping.signal.aborted) this.#become("failed", error);
      throw error;
    }
    this.#become("live");
    void this.#keepAlive();
  }

  /** Ends the session; the broadcast then shows its slate, or ends. */
  async stop(): Promise<void> {
    if (this.#state === "stopped") return;
    this.#stopping.abort(new CastgateError("aborted", "the publisher was stopped", 0));
    this.#become("stopped");
    const link = this.#link;
    this.#link = undefined;
    link?.connection.close();
    if (link !== undefined) await this.#signalling.close(link.session).catch(() => undefined);
  }

  /** What the browser says about the stream; `undefined` while there is no connection. */
  async statistics(): Promise<UplinkStatistics | undefined> {
    const connection = this.#link?.connection;
    if (connection === undefined || connection.signalingState === "closed") return undefined;
    const report = await connection.getStats();
    const entries = [...(report as unknown as ReadonlyMap<string, unknown>).entries()];
    const now = performance.now();
    const measured = uplinkFromReport(entries, now, this.#baseline);
    if (this.#baseline === undefined || now - this.#baseline.at >= RATE_SPAN_MS) this.#baseline = measured;
    return measured;
  }

  /** Changes the limit of the picture's bitrate while it is sent. */
  async limitVideo(kbps: number): Promise<void> {
    const sender = this.#link?.connection.getSenders().find((each) => each.track?.kind === "video");
    if (sender !== undefined) await this.#shapeVideo(sender, kbps);
  }

  async #connect(): Promise<Link> {
    const { url, stream, iceServers } = this.#options;
    const signal = this.#stopping.signal;
    const connection = new RTCPeerConnection({
      bundlePolicy: "max-bundle",
      ...(iceServers === undefined ? {} : { iceServers }),
    });
    try {
      const candidates: RTCIceCandidate[] = [];
      connection.onicecandidate = ({ candidate }) => {
        if (candidate !== null && candidate.candidate !== "") candidates.push(candidate);
      };
      this.#addTracks(connection, stream);
      await connection.setLocalDescription();
      const offer = connection.localDescription?.sdp ?? "";
      const session = await this.#signalling.open(url, offer, this.#resumeToken, signal);
      if (session.resumeToken !== undefined) {
        this.#resumeToken = session.resumeToken;
        this.#options.onResumeToken?.(session.resumeToken);
      }
      const link: Link = { connection, session, answer: session.answer };
      try {
        if (session.iceServers.length > 0) connection.setConfiguration({ iceServers: session.iceServers });
        await connection.setRemoteDescription({ type: "answer", sdp: session.answer });
        const sender = connection.getSenders().find((each) => each.track?.kind === "video");
        if (sender !== undefined) {
          await this.#shapeVideo(sender, this.#options.maxVideoKbps ?? DEFAULT_VIDEO_KBPS);
        }
        if (!isIceLite(session.answer)) this.#trickle(link, offer, candidates);
        await connected(connection, signal);
      } catch (cause) {
        if (!signal.aborted) await this.#signalling.close(session).catch(() => undefined);
        else void this.#signalling.close(session).catch(() => undefined);
        throw cause;
      }
      return link;
    } catch (cause) {
      connection.close();
      throw cause;
    }
  }

  #addTracks(connection: RTCPeerConnection, stream: MediaStream): void {
    const [video] = stream.getVideoTracks();
    const [audio] = stream.getAudioTracks();
    if (audio !== undefined) {
      audio.contentHint = "music";
      connection.addTransceiver(audio, { direction: "sendonly", streams: [stream] });
    }
    if (video !== undefined) {
      video.contentHint = this.#options.contentHint ?? "motion";
      preferH264(connection.addTransceiver(video, { direction: "sendonly", streams: [stream] }));
    }
  }

  async #shapeVideo(sender: RTCRtpSender, kbps: number): Promise<void> {
    const parameters = sender.getParameters();
    const [encoding] = parameters.encodings;
    if (encoding === undefined) return;
    encoding.maxBitrate = kbps * 1000;
    if (this.#options.maxFramesPerSecond !== undefined)
      encoding.maxFramerate = this.#options.maxFramesPerSecond;
    parameters.degradationPreference = this.#options.degradationPreference ?? "maintain-resolution";
    await sender.setParameters(parameters);
  }

  /** Sends what has been gathered, and the rest as it comes. A failure shows as a connection that never comes up. */
  #trickle(link: Link, offer: string, gathered: RTCIceCandidate[]): void {
    const { connection, session } = link;
    const send = (candidates: RTCIceCandidate[], complete: boolean): void => {
      if (candidates.length === 0 && !complete) return;
      void this.#signalling
        .trickle(session, candidateFragment(offer, candidates, complete))
        .catch(() => undefined);
    };
    send(gathered, connection.iceGatheringState === "complete");
    if (connection.iceGatheringState === "complete") return;
    connection.onicecandidate = ({ candidate }) => {
      send(candidate === null || candidate.candidate === "" ? [] : [candidate], candidate === null);
    };
  }

  async #keepAlive(): Promise<void> {
    const signal = this.#stopping.signal;
    while (!signal.aborted && this.#link !== undefined) {
      try {
        await interrupted(this.#link.connection, signal);
        this.#reconnects += 1;
        this.#become(
          "reconnecting",
          new CastgateError("connection_lost", "the connection to the gateway was lost", 0),
        );
        const restarted = await this.#restart(this.#link).then(
          () => true,
          () => false,
        );
        if (!restarted) await this.#replace(signal);
        if (signal.aborted) return;
        this.#backoff.reset();
        this.#become("live");
      } catch (cause) {
        if (signal.aborted) return;
        this.#link?.connection.close();
        this.#link = undefined;
        this.#become("failed", this.#told(cause));
      }
    }
  }

  /** Gives the connection new ICE credentials: the cheapest cure, and the picture goes on without a new keyframe. */
  async #restart(link: Link): Promise<void> {
    const { connection, session } = link;
    connection.restartIce();
    await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }));
    const offer = connection.localDescription?.sdp ?? "";
    const fragment = await this.#signalling.restart(session, restartFragment(offer));
    link.answer = answerAfterRestart(link.answer, fragment);
    await connection.setRemoteDescription({ type: "answer", sdp: link.answer });
    await connected(connection, this.#stopping.signal);
  }

  /** Makes a new connection in place of a lost one, as often as it takes. */
  async #replace(signal: AbortSignal): Promise<void> {
    this.#link?.connection.close();
    this.#baseline = undefined;
    for (;;) {
      signal.throwIfAborted();
      try {
        this.#link = await this.#connect();
        return;
      } catch (cause) {
        const error = this.#told(cause);
        if (signal.aborted || !(error.isTransient || error.code === "connect_timeout")) throw error;
        this.#become("reconnecting", error);
        await pause(Math.max(this.#backoff.nextMs(), error.retryAfterMs ?? 0), signal);
      }
    }
  }

  #told(cause: unknown): CastgateError {
    if (cause instanceof CastgateError) return cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    return new CastgateError("webrtc_failed", message, 0, undefined, undefined, { cause });
  }

  #become(state: PublisherState, error?: CastgateError): void {
    this.#state = state;
    this.#error = error;
    this.#options.onState?.(state, error);
  }
}

/** Resolves once the connection is up. */
function connected(connection: RTCPeerConnection, signal: AbortSignal): Promise<void> {
  return when(connection, signal, CONNECT_PATIENCE_MS, () => {
    const up = connection.connectionState === "connected";
    return up && ["connected", "completed"].includes(connection.iceConnectionState);
  });
}

/** Resolves once the connection is lost, or interrupted for longer than usual. */
async function interrupted(connection: RTCPeerConnection, signal: AbortSignal): Promise<void> {
  const down = (): boolean => ["disconnected", "failed", "closed"].includes(connection.connectionState);
  for (;;) {
    await when(connection, signal, undefined, down);
    if (connection.connectionState !== "disconnected") return;
    const healed = await when(connection, signal, INTERRUPTION_PATIENCE_MS, () => !down()).then(
      () => true,
      () => false,
    );
    signal.throwIfAborted();
    if (!healed) return;
  }
}

function when(
  connection: RTCPeerConnection,
  signal: AbortSignal,
  patienceMs: number | undefined,
  condition: () => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const names = ["connectionstatechange", "iceconnectionstatechange"];
    const done = (finish: () => void): void => {
      clearTimeout(timer);
      for (const name of names) connection.removeEventListener(name, check);
      signal.removeEventListener("abort", stop);
      finish();
    };
    const check = (): void => {
      if (condition()) done(resolve);
    };
    const stop = (): void => done(() => reject(signal.reason));
    const late = (): void =>
      done(() =>
        reject(new CastgateError("connect_timeout", "the connection to the gateway did not come up", 0)),
      );
    const timer = patienceMs === undefined ? undefined : setTimeout(late, patienceMs);
    for (const name of names) connection.addEventListener(name, check);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    else check();
  });
}
