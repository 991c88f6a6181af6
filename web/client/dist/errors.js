/** Errors that say what to do: a stable code for programs, a sentence for people. */
/** Why a call to the gateway failed. */
export class CastgateError extends Error {
    code;
    status;
    field;
    retryAfterMs;
    name = "CastgateError";
    constructor(
    /** Stable code of the gateway, or `network_failed`, `aborted`, `bad_answer` of this client. */
    code, message, 
    /** HTTP status; 0 when there was no answer. */
    status, 
    /** The field of the request that is wrong, where the gateway names one. */
    field, 
    /** How long the gateway asks to wait before another try, in milliseconds. */
    retryAfterMs, options) {
        super(message, options);
        this.code = code;
        this.status = status;
        this.field = field;
        this.retryAfterMs = retryAfterMs;
    }
    /** Whether the same call may succeed later without anybody changing anything. */
    get isTransient() {
        return this.status === 0 ? this.code === "network_failed" : this.status === 429 || this.status >= 500;
    }
    /** Whether a token is missing, wrong or without the right. */
    get needsToken() {
        return this.status === 401;
    }
}
/** Codes for answers without a problem body, as a proxy in between may give them. */
const CODE_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    406: "not_acceptable",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    422: "invalid",
    429: "too_many_requests",
    503: "unavailable",
};
/** Reads an error answer: RFC 9457 `problem+json`, or whatever else is there. */
export async function errorFromResponse(response) {
    const text = await response.text().catch(() => "");
    const problem = parseObject(text);
    const word = (name) => {
        const value = problem?.[name];
        return typeof value === "string" && value !== "" ? value : undefined;
    };
    const code = word("code") ?? CODE_BY_STATUS[response.status] ?? `http_${response.status}`;
    const message = word("message") ?? word("detail") ?? word("title") ?? `the gateway answered ${response.status} ${response.statusText}`.trim();
    return new CastgateError(code, message, response.status, word("field"), retryAfterMs(response));
}
/** Turns what `fetch` throws into an error of ours. */
export function errorFromFetch(cause) {
    if (cause instanceof CastgateError)
        return cause;
    if (cause instanceof DOMException && cause.name === "AbortError") {
        return new CastgateError("aborted", "the call was cancelled", 0, undefined, undefined, { cause });
    }
    return new CastgateError("network_failed", "the gateway cannot be reached", 0, undefined, undefined, { cause });
}
function retryAfterMs(response) {
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}
function parseObject(text) {
    try {
        const value = JSON.parse(text);
        return typeof value === "object" && value !== null ? value : undefined;
    }
    catch {
        return undefined;
    }
}
//# sourceMappingURL=errors.js.map