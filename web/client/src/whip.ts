/** Publishes a stream over WHIP and keeps it published: ICE restarts, takeovers and new attempts. */

import type { TokenSource } from "./api.ts";
import { Backoff, pause } from "./backoff.ts";
import { preferCodec, type VideoCodecName } from "./codecs.ts";
import { changed, connected, heardBytes, withLimit } from "./connection.ts";
import { CastgateError } from "./errors.ts";
import { watchForTrouble } from "./hints.ts";
import { type Cure, cureFor, type Ending, endingOf, ResumeTokens } from "./recovery.ts";
import { answerAfterRestart, candidateFragment, isIceLite, restartFragment } from "./sdp.ts";
import { type UplinkStatistics, uplinkFromReport } from "./uplink.ts";
import { Vigil } from "./vigil.ts";
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
  /** Tokens of connections that were never seen to come up; tried when the first is refused. */
  spareResumeTokens?: readonly string[];
  /** `h264` when absent, which alone costs the gateway no encoder; another one is offered alone. */
  videoCodec?: VideoCodecName;
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
  /** How to wait; timers of the page when absent. Browsers slow those of a hidden page: a worker's go on. */
  wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  onState?: (state: PublisherState, error?: CastgateError) => void;
  /** Called with what to keep for a takeover after a reload: `resumeToken`, and `spareResumeTokens`. */
  onResumeToken?: (token: string, spare: readonly string[]) => void;
}

const DEFAULT_VIDEO_KBPS = 4500;

/** How long a new connection may take to come up. */
const CONNECT_PATIENCE_MS = 12_000;

/** How long a restarted connection may take: a shorter time, since a new one is the better cure then. */
const RESTART_PATIENCE_MS = 5_000;

/** How long the gateway may take to answer; a network that is gone never says so. */
const ANSWER_PATIENCE_MS = 6_000;

/** How often a connection is looked at while all is well. */
const LOOK_MS = 500;

/** How often it is looked at while a restart has to prove itself. */
const PROOF_LOOK_MS = 100;

/** The longest pause between attempts: the network may be back without the browser noticing. */
const LONGEST_PAUSE_MS = 5_000;

/** An attempt that is younger than this is not given up when the network changes. */
const YOUNG_ATTEMPT_MS = 1_000;

/** The least pause between attempts: a network that has just come up still sorts itself out. */
const SETTLING_MS = 200;

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
  readonly #wait: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
  readonly #tokens: ResumeTokens;
  readonly #stopping = new AbortController();
  #state: PublisherState = "idle";
  #error: CastgateError | undefined;
  #ending: Ending | undefined;
  #link: Link | undefined;
  #baseline: UplinkStatistics | undefined;
  #reconnects = 0;
  /** What is to be told of the next sign of trouble. */
  #onHint: () => void = () => undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#tokens = new ResumeTokens(options.resumeToken, options.spareResumeTokens);
    this.#backoff = options.backoff ?? new Backoff({ longestMs: LONGEST_PAUSE_MS });
    this.#wait = options.wait ?? pause;
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

  /** Why it failed for good; `undefined` while it lives, and when only the first attempt failed. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  get resumeToken(): string | undefined {
    return this.#tokens.all[0];
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
   * Publishes; resolves once media flows and rejects when the gateway refuses.
   *
   * A patient start tries again while the gateway cannot be reached; else that rejects as well. After it the
   * publisher looks after itself until {@link stop} or until the gateway refuses for good.
   */
  async start(options: { patient?: boolean } = {}): Promise<void> {
    if (this.#state !== "idle") throw new CastgateError("misuse", "a publisher is started once", 0);
    this.#stopping.signal.addEventListener(
      "abort",
      watchForTrouble(() => this.check()),
      { once: true },
    );
    this.#become("connecting");
    for (;;) {
      try {
        this.#link = await this.#attempt((signal) => this.#connect(signal));
        break;
      } catch (cause) {
        const error = this.#told(cause);
        if (this.#stopping.signal.aborted) throw error;
        if (!options.patient || endingOf(error) !== undefined) {
          this.#fail(error);
          throw error;
        }
        this.#become("reconnecting", error);
        await this.#rest(error);
      }
    }
    this.#backoff.reset();
    this.#become("live");
    void this.#keepAlive();
  }

  /** Looks at the connection at once, and tries again at once where it is lost. Browser events do this by themselves. */
  check(): void {
    this.#onHint();
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

  async #connect(signal: AbortSignal): Promise<Link> {
    const { stream, iceServers } = this.#options;
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
      const session = await this.#open(offer, signal);
      const link: Link = { connection, session, answer: session.answer };
      try {
        if (session.iceServers.length > 0) connection.setConfiguration({ iceServers: session.iceServers });
        await connection.setRemoteDescription({ type: "answer", sdp: session.answer });
        const sender = connection.getSenders().find((each) => each.track?.kind === "video");
        if (sender !== undefined) {
          await this.#shapeVideo(sender, this.#options.maxVideoKbps ?? DEFAULT_VIDEO_KBPS);
        }
        if (!isIceLite(session.answer)) this.#trickle(link, offer, candidates);
        await connected(connection, signal, CONNECT_PATIENCE_MS);
      } catch (cause) {
        // Not waited for: the network may be gone, and the next attempt must not wait.
        void this.#signalling.close(session).catch(() => undefined);
        throw cause;
      }
      if (session.resumeToken !== undefined) {
        this.#tokens.confirm(session.resumeToken);
        this.#tellTokens();
      }
      return link;
    } catch (cause) {
      connection.close();
      throw cause;
    }
  }

  /** Posts the offer, with another token when one is refused that an answer that got lost has replaced. */
  async #open(offer: string, signal: AbortSignal): Promise<WhipSession> {
    const tokens = this.#tokens.all;
    for (;;) {
      const token = tokens.shift();
      try {
        const limit = withLimit(signal, ANSWER_PATIENCE_MS);
        const session = await this.#signalling
          .open(this.#options.url, offer, token, limit.signal)
          .finally(limit.lift);
        if (session.resumeToken !== undefined) {
          this.#tokens.offer(session.resumeToken);
          this.#tellTokens();
        }
        return session;
      } catch (cause) {
        const refused = cause instanceof CastgateError && cause.code === "resume_token_refused";
        if (!refused || tokens.length === 0) throw cause;
      }
    }
  }

  #tellTokens(): void {
    const [token, ...spare] = this.#tokens.all;
    if (token !== undefined) this.#options.onResumeToken?.(token, spare);
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
      const transceiver = connection.addTransceiver(video, { direction: "sendonly", streams: [stream] });
      preferCodec(transceiver, this.#options.videoCodec ?? "h264");
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
    try {
      while (!signal.aborted && this.#link !== undefined) {
        const verdict = await this.#trouble(this.#link.connection);
        this.#reconnects += 1;
        this.#baseline = undefined;
        this.#become(
          "reconnecting",
          new CastgateError("connection_lost", "the connection to the gateway was lost", 0),
        );
        await this.#recover(this.#link, verdict);
        this.#backoff.reset();
        this.#become("live");
      }
    } catch (cause) {
      if (signal.aborted) return;
      this.#link?.connection.close();
      this.#link = undefined;
      this.#fail(this.#told(cause));
    }
  }

  /** Watches a connection until it needs a cure. */
  async #trouble(connection: RTCPeerConnection): Promise<Cure> {
    const signal = this.#stopping.signal;
    const vigil = new Vigil();
    for (;;) {
      signal.throwIfAborted();
      const bytes = await heardBytes(connection);
      const verdict = vigil.look({
        nowMs: Date.now(),
        state: connection.connectionState,
        heardBytes: bytes,
      });
      if (verdict !== "fine") return verdict;
      const hinted = new Promise<void>((resolve) => {
        this.#onHint = () => {
          vigil.hint();
          resolve();
        };
      });
      await changed(connection, Promise.race([this.#wait(LOOK_MS, signal), hinted]));
    }
  }

  /** Cures the connection, or puts a new one in its place, as often as it takes. */
  async #recover(link: Link, verdict: Cure): Promise<void> {
    const lostAtMs = Date.now();
    let restartFailed = false;
    for (;;) {
      const cure = cureFor({ verdict, restartFailed, downMs: Date.now() - lostAtMs });
      try {
        if (cure === "restart") {
          await this.#attempt((signal) => this.#restart(link, signal));
        } else {
          link.connection.close();
          this.#link = await this.#attempt((signal) => this.#connect(signal));
        }
        return;
      } catch (cause) {
        if (this.#stopping.signal.aborted) throw cause;
        const error = this.#told(cause);
        if (cure === "restart" && error.code !== "network_failed") {
          // The gateway knows nothing of the session, or no media came: a new connection, without a pause.
          restartFailed = true;
          continue;
        }
        if (cure === "replace" && endingOf(error) !== undefined) throw error;
        this.#become("reconnecting", error);
        await this.#rest(error);
      }
    }
  }

  /** Gives the connection new ICE credentials: the cheapest cure, and the picture goes on without a new keyframe. */
  async #restart(link: Link, signal: AbortSignal): Promise<void> {
    const { connection, session } = link;
    // A restart whose answer got lost leaves an offer behind.
    if (connection.signalingState === "have-local-offer") {
      await connection.setLocalDescription({ type: "rollback" });
    }
    connection.restartIce();
    await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }));
    const offer = connection.localDescription?.sdp ?? "";
    const limit = withLimit(signal, ANSWER_PATIENCE_MS);
    const fragment = await this.#signalling
      .restart(session, restartFragment(offer), limit.signal)
      .finally(limit.lift);
    link.answer = answerAfterRestart(link.answer, fragment);
    const before = await heardBytes(connection);
    await connection.setRemoteDescription({ type: "answer", sdp: link.answer });
    await connected(connection, signal, RESTART_PATIENCE_MS);
    if (before !== undefined) await this.#proven(connection, signal);
  }

  /** Resolves once something is heard: a connection may still count as up while nothing comes through. */
  async #proven(connection: RTCPeerConnection, signal: AbortSignal): Promise<void> {
    let before = await heardBytes(connection);
    for (let waitedMs = 0; waitedMs < RESTART_PATIENCE_MS; waitedMs += PROOF_LOOK_MS) {
      await this.#wait(PROOF_LOOK_MS, signal);
      const now = await heardBytes(connection);
      if (now !== undefined && before !== undefined && now > before) return;
      before = now;
    }
    throw new CastgateError("connect_timeout", "the restarted connection did not come up", 0);
  }

  /** Runs one attempt, which a change of the network breaks off unless it has only just begun. */
  async #attempt<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const attempt = new AbortController();
    const stop = (): void => attempt.abort(this.#stopping.signal.reason);
    const beganAtMs = Date.now();
    this.#stopping.signal.addEventListener("abort", stop, { once: true });
    this.#onHint = () => {
      if (Date.now() - beganAtMs > YOUNG_ATTEMPT_MS) {
        attempt.abort(new CastgateError("network_failed", "the network has changed", 0));
      }
    };
    try {
      if (this.#stopping.signal.aborted) stop();
      attempt.signal.throwIfAborted();
      return await run(attempt.signal);
    } finally {
      this.#stopping.signal.removeEventListener("abort", stop);
      this.#onHint = () => undefined;
    }
  }

  /** The pause before another attempt; a hint cuts it short. */
  async #rest(error: CastgateError): Promise<void> {
    const signal = this.#stopping.signal;
    const hinted = new Promise<void>((resolve) => {
      this.#onHint = resolve;
    });
    await this.#wait(SETTLING_MS, signal);
    const pauseMs = Math.max(this.#backoff.nextMs() - SETTLING_MS, error.retryAfterMs ?? 0);
    await Promise.race([this.#wait(pauseMs, signal), hinted]);
    this.#onHint = () => undefined;
  }

  #told(cause: unknown): CastgateError {
    if (cause instanceof CastgateError) return cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    return new CastgateError("webrtc_failed", message, 0, undefined, undefined, { cause });
  }

  #fail(error: CastgateError): void {
    this.#ending = endingOf(error);
    this.#stopping.abort(error);
    this.#become("failed", error);
  }

  #become(state: PublisherState, error?: CastgateError): void {
    this.#state = state;
    this.#error = error;
    this.#options.onState?.(state, error);
  }
}
