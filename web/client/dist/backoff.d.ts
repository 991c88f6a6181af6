/** Growing pauses with full jitter, so that many studios do not come back at the same instant. */
export interface BackoffOptions {
    /** Upper end of the first pause, in milliseconds. */
    firstMs?: number;
    /** Upper end of every pause, in milliseconds. */
    longestMs?: number;
    /** A number in [0, 1). */
    random?: () => number;
}
export declare class Backoff {
    #private;
    constructor(options?: BackoffOptions);
    /** Pauses asked for since the last {@link reset}. */
    get attempts(): number;
    /** The next pause in milliseconds: between a tenth and all of a span that doubles each time. */
    nextMs(): number;
    /** To be called when things work again. */
    reset(): void;
}
/** Waits, and rejects with the signal's reason when it is aborted meanwhile. */
export declare function pause(milliseconds: number, signal?: AbortSignal): Promise<void>;
