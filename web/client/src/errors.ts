/** Errors that say what to do: a stable code for programs, a sentence for people. */

/** Why a call to the gateway failed. */
export class CastgateError extends Error {
  override readonly name = "CastgateError";

  constructor(
    /** Stable code of the gateway, or `network_failed`, `aborted`, `bad_answer` of this client. */
    readonly code: string,
    message: string,
    /** HTTP status; 0 when there was no answer. */
    readonly status: number,
    /** The field of the request that is wrong, where the gateway names one. */
    readonly field?: string,
    /** How long the gateway asks to wait before another try, in milliseconds. */
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the same call may succeed later without anybody changing anything. */
  get isTransient(): boolean {
    return this.status === 0 ? this.code === "network_failed" : this.status === 429 || this.status >= 500;
  }

  /** Whether a token is missing, wrong or without the right. */
  get needsToken(): boolean {
    return this.status === 401;
  }
}

/** Codes for answers without a problem body, as a proxy in between may give them. */
const CODE_BY_STATUS: Readonly<Record<number, string>> = {
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
export async function errorFromResponse(response: Response): Promise<CastgateError> {
  const text = await response.text().catch(() => "");
  const problem = parseObject(text);
  const word = (name: string): string | undefined => {
    const value = problem?.[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const code = word("code") ?? CODE_BY_STATUS[response.status] ?? `http_${response.status}`;
  const message =
    word("message") ??
    word("detail") ??
    word("title") ??
    `the gateway answered ${response.status} ${response.statusText}`.trim();
  return new CastgateError(code, message, response.status, word("field"), retryAfterMs(response));
}

/** Turns what `fetch` throws into an error of ours. */
export function errorFromFetch(cause: unknown): CastgateError {
  if (cause instanceof CastgateError) return cause;
  if (cause instanceof DOMException && cause.name === "AbortError") {
    return new CastgateError("aborted", "the call was cancelled", 0, undefined, undefined, { cause });
  }
  return new CastgateError("network_failed", "the gateway cannot be reached", 0, undefined, undefined, {
    cause,
  });
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
