/** Publishes a stream over WHIP and keeps it published: ICE restarts, takeovers and new attempts. */
import type { TokenSource } from "./api.ts";
import { Backoff } from "./backoff.ts";
import { CastgateError } from "./errors.ts";
import { type UplinkStatistics } from "./uplink.ts";
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
export declare class WhipPublisher {
    #private;
    constructor(options: PublisherOptions);
    get state(): PublisherState;
    /** Why it failed or is reconnecting. */
    get error(): CastgateError | undefined;
    get resumeToken(): string | undefined;
    /** How often the connection had to be made anew or restarted. */
    get reconnects(): number;
    /** The connection, for measurements. */
    get connection(): RTCPeerConnection | undefined;
    /**
     * Publishes; resolves once media flows and rejects when the gateway refuses or cannot be reached.
     *
     * After that the publisher looks after itself until {@link stop} or until the gateway refuses for good.
     */
    start(): Promise<void>;
    /** Ends the session; the broadcast then shows its slate, or ends. */
    stop(): Promise<void>;
    /** What the browser says about the stream; `undefined` while there is no connection. */
    statistics(): Promise<UplinkStatistics | undefined>;
    /** Changes the limit of the picture's bitrate while it is sent. */
    limitVideo(kbps: number): Promise<void>;
}
