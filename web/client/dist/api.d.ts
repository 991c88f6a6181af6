/** The Broadcast API: create, read, change and watch broadcasts and their destinations. */
import { Backoff } from "./backoff.ts";
import { CastgateError } from "./errors.ts";
import type { Broadcast, BroadcastRequest, Destination, DestinationChange, DestinationRequest, LocalReceiver, ProbeResult } from "./model.ts";
/** A token, or what fetches the current one before each call. */
export type TokenSource = string | undefined | (() => string | undefined);
export interface ApiOptions {
    /** Where the gateway is; the page's own origin when absent. */
    baseUrl?: string;
    /** Sent as `Authorization: Bearer`. */
    token?: TokenSource;
    /** For tests and for environments without a global `fetch`. */
    fetch?: typeof fetch;
}
export interface WatchOptions {
    signal?: AbortSignal;
    /** Called with every state of the broadcast, the first at once. */
    onBroadcast: (broadcast: Broadcast) => void;
    /** Called when the stream is cut; it is opened again after a pause. */
    onInterruption?: (error: CastgateError) => void;
    backoff?: Backoff;
}
export declare class CastgateApi {
    #private;
    constructor(options?: ApiOptions);
    createBroadcast(request?: BroadcastRequest): Promise<Broadcast>;
    broadcasts(): Promise<Broadcast[]>;
    broadcast(id: string): Promise<Broadcast>;
    /** Ends a broadcast for good; ending an ended one is no error. */
    endBroadcast(id: string): Promise<void>;
    /** Opens all destinations. */
    startDestinations(id: string): Promise<void>;
    /** Closes all destinations while the studio stays connected. */
    stopDestinations(id: string): Promise<void>;
    addDestination(id: string, destination: DestinationRequest): Promise<Destination>;
    /** Enables, disables or gives another key; the other destinations notice nothing. */
    changeDestination(id: string, destination: string, change: DestinationChange): Promise<void>;
    removeDestination(id: string, destination: string): Promise<void>;
    /** Tries a destination without publishing to it. */
    probeDestination(destination: DestinationRequest): Promise<ProbeResult>;
    /** The gateway's own RTMP receiver, or `undefined` when it runs none. */
    localReceiver(): Promise<LocalReceiver | undefined>;
    /** Where the picture of a locally received stream can be played from, as FLV over HTTP. */
    localStreamUrl(stream: string): string;
    /**
     * Reports every change of a broadcast until it has ended or the signal is aborted.
     *
     * A cut stream is opened again, with growing pauses, without end. Rejects when the gateway refuses
     * (unknown broadcast, missing token).
     */
    watchBroadcast(id: string, options: WatchOptions): Promise<void>;
}
/** Puts the token into the headers, if there is one. */
export declare function authorize(headers: Headers, token: TokenSource): void;
