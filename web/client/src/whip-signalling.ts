/** The HTTP half of WHIP (RFC 9725): offers, fragments and the end of a session. No media here. */

import { authorize, type TokenSource } from "./api.ts";
import { CastgateError, errorFromFetch, errorFromResponse } from "./errors.ts";
import { iceServersFromLink } from "./link-header.ts";

/** Names the studio across connections: with it a second one takes over instead of being refused. */
export const RESUME_TOKEN_HEADER = "Castgate-Resume-Token";

const SDP = "application/sdp";
const FRAGMENT = "application/trickle-ice-sdpfrag";

/** A session that the gateway has opened. */
export interface WhipSession {
  url: string;
  answer: string;
  etag?: string;
  iceServers: RTCIceServer[];
  resumeToken?: string;
}

export interface WhipSignallingOptions {
  token?: TokenSource;
  fetch?: typeof fetch;
}

export class WhipSignalling {
  readonly #token: TokenSource;
  readonly #fetch: typeof fetch;

  constructor(options: WhipSignallingOptions = {}) {
    this.#token = options.token;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  /** Posts an offer; redirects to the assigned node are followed by `fetch`. */
  async open(url: string, offer: string, resumeToken?: string, signal?: AbortSignal): Promise<WhipSession> {
    const headers = new Headers({ "content-type": SDP, accept: SDP });
    if (resumeToken !== undefined) headers.set(RESUME_TOKEN_HEADER, resumeToken);
    const response = await this.#call(
      url,
      { method: "POST", body: offer, ...(signal ? { signal } : {}) },
      headers,
    );
    const location = response.headers.get("location");
    if (response.status !== 201 || location === null) {
      throw new CastgateError("bad_answer", "the gateway did not open a session", response.status);
    }
    const etag = response.headers.get("etag");
    const token = response.headers.get(RESUME_TOKEN_HEADER);
    return {
      url: new URL(location, response.url || url).href,
      answer: await response.text(),
      iceServers: iceServersFromLink(response.headers.get("link")),
      ...(etag === null ? {} : { etag }),
      ...(token === null ? {} : { resumeToken: token }),
    };
  }

  /** Hands candidates over. A gateway without trickle support (405, 501) is no error: it needs none. */
  async trickle(session: WhipSession, fragment: string): Promise<void> {
    const headers = new Headers({ "content-type": FRAGMENT });
    if (session.etag !== undefined) headers.set("if-match", session.etag);
    try {
      await this.#call(session.url, { method: "PATCH", body: fragment }, headers);
    } catch (error) {
      if (error instanceof CastgateError && (error.status === 405 || error.status === 501)) return;
      throw error;
    }
  }

  /** Asks for an ICE restart and returns the gateway's fragment. The session's tag changes with it. */
  async restart(session: WhipSession, fragment: string, signal?: AbortSignal): Promise<string> {
    const headers = new Headers({ "content-type": FRAGMENT, accept: FRAGMENT, "if-match": "*" });
    const response = await this.#call(
      session.url,
      { method: "PATCH", body: fragment, ...(signal ? { signal } : {}) },
      headers,
    );
    if (response.status !== 200) {
      throw new CastgateError("bad_answer", "the gateway did not restart the connection", response.status);
    }
    const etag = response.headers.get("etag");
    if (etag !== null) session.etag = etag;
    return response.text();
  }

  /** Ends a session. One that is gone already is no error; it survives the page's end. */
  async close(session: WhipSession): Promise<void> {
    try {
      await this.#call(session.url, { method: "DELETE", keepalive: true }, new Headers());
    } catch (error) {
      if (error instanceof CastgateError && (error.status === 404 || error.status === 410)) return;
      throw error;
    }
  }

  async #call(url: string, init: RequestInit, headers: Headers): Promise<Response> {
    authorize(headers, this.#token);
    const response = await this.#fetch(url, { ...init, headers, cache: "no-store" }).catch(
      (cause: unknown) => {
        throw errorFromFetch(cause);
      },
    );
    if (!response.ok) throw await errorFromResponse(response);
    return response;
  }
}
