/** Errors that say what to do: a stable code for programs, a sentence for people. */
/** Why a call to the gateway failed. */
export declare class CastgateError extends Error {
    /** Stable code of the gateway, or `network_failed`, `aborted`, `bad_answer` of this client. */
    readonly code: string;
    /** HTTP status; 0 when there was no answer. */
    readonly status: number;
    /** The field of the request that is wrong, where the gateway names one. */
    readonly field?: string | undefined;
    /** How long the gateway asks to wait before another try, in milliseconds. */
    readonly retryAfterMs?: number | undefined;
    readonly name = "CastgateError";
    constructor(
    /** Stable code of the gateway, or `network_failed`, `aborted`, `bad_answer` of this client. */
    code: string, message: string, 
    /** HTTP status; 0 when there was no answer. */
    status: number, 
    /** The field of the request that is wrong, where the gateway names one. */
    field?: string | undefined, 
    /** How long the gateway asks to wait before another try, in milliseconds. */
    retryAfterMs?: number | undefined, options?: ErrorOptions);
    /** Whether the same call may succeed later without anybody changing anything. */
    get isTransient(): boolean;
    /** Whether a token is missing, wrong or without the right. */
    get needsToken(): boolean;
}
/** Reads an error answer: RFC 9457 `problem+json`, or whatever else is there. */
export declare function errorFromResponse(response: Response): Promise<CastgateError>;
/** Turns what `fetch` throws into an error of ours. */
export declare function errorFromFetch(cause: unknown): CastgateError;
