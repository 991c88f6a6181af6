/** The Broadcast API: create, read, change and watch broadcasts and their destinations. */

import { Backoff, pause } from "./backoff.ts";
import { CastgateError, errorFromFetch, errorFromResponse } from "./errors.ts";
import { serverEvents } from "./event-stream.ts";
import type {
  AlarmChange,
  BlackBox,
  Broadcast,
  BroadcastPatch,
  BroadcastRequest,
  Destination,
  DestinationChange,
  DestinationRequest,
  LocalReceiver,
  ProbeRequest,
  ProbeResult,
  Slate,
} from "./model.ts";

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
  /** Called when an alarm has come up or has passed; those that stand are in each broadcast. */
  onAlarm?: (change: AlarmChange) => void;
  /** Called with the reason of each change, such as `slate_over`, before `onBroadcast`. */
  onChange?: (change: BroadcastChange) => void;
  /** Called when the stream is cut; it is opened again after a pause. */
  onInterruption?: (error: CastgateError) => void;
  backoff?: Backoff;
}

/** What changed, as the event stream tells it. */
export interface BroadcastChange {
  /** Absent when it is the broadcast itself. */
  destination?: string;
  state: string;
  /** A stable word. */
  reason: string;
  at?: string;
}

/** A file as the browser has it, or bytes; its type must be told where the file does not know it. */
export interface Upload {
  body: Blob | ArrayBuffer;
  /** Such as `image/png`. */
  type: string;
}

/** How long a stream of events may be silent; the gateway sends a comment more often than this. */
const EVENT_SILENCE_MS = 45_000;

export class CastgateApi {
  readonly #baseUrl: string;
  readonly #token: TokenSource;
  readonly #fetch: typeof fetch;

  constructor(options: ApiOptions = {}) {
    this.#baseUrl = (options.baseUrl ?? globalThis.location?.origin ?? "").replace(/\/+$/, "");
    this.#token = options.token;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  createBroadcast(request: BroadcastRequest = {}): Promise<Broadcast> {
    return this.#json("POST", "/broadcasts", request);
  }

  async broadcasts(): Promise<Broadcast[]> {
    const answer = await this.#json<Broadcast[] | { broadcasts: Broadcast[] }>("GET", "/broadcasts");
    return Array.isArray(answer) ? answer : answer.broadcasts;
  }

  broadcast(id: string): Promise<Broadcast> {
    return this.#json("GET", broadcastPath(id));
  }

  /** Changes how the pictures are made, also while live; destinations notice nothing. */
  changeBroadcast(id: string, change: BroadcastPatch): Promise<void> {
    return this.#nothing("PATCH", broadcastPath(id), change);
  }

  /** What goes out now, as a JPEG; `undefined` while nothing does, and where the gateway makes none. */
  async thumbnail(id: string, signal?: AbortSignal): Promise<Blob | undefined> {
    try {
      const extra = { accept: "image/jpeg", ...(signal === undefined ? {} : { signal }) };
      const response = await this.#call("GET", `${broadcastPath(id)}/thumbnail.jpg`, undefined, extra);
      return response.status === 200 ? await response.blob() : undefined;
    } catch (error) {
      if (error instanceof CastgateError && [404, 503].includes(error.status)) return undefined;
      throw error;
    }
  }

  /** Ends a broadcast for good; ending an ended one is no error. */
  endBroadcast(id: string): Promise<void> {
    return this.#nothing("DELETE", broadcastPath(id));
  }

  /** Opens all destinations. */
  startDestinations(id: string): Promise<void> {
    return this.#nothing("POST", `${broadcastPath(id)}/start`);
  }

  /** Closes all destinations while the studio stays connected. */
  stopDestinations(id: string): Promise<void> {
    return this.#nothing("POST", `${broadcastPath(id)}/stop`);
  }

  addDestination(id: string, destination: DestinationRequest): Promise<Destination> {
    return this.#json("POST", `${broadcastPath(id)}/destinations`, destination);
  }

  /** Enables, disables or gives another key; enabling a failed one tries it again. The others notice nothing. */
  changeDestination(id: string, destination: string, change: DestinationChange): Promise<void> {
    return this.#nothing("PATCH", destinationPath(id, destination), change);
  }

  removeDestination(id: string, destination: string): Promise<void> {
    return this.#nothing("DELETE", destinationPath(id, destination));
  }

  /** Sends the slate in place of the show: the connection stays, and the show returns when it is resumed. */
  pauseDestination(id: string, destination: string): Promise<void> {
    return this.changeDestination(id, destination, { paused: true });
  }

  /** Sends the show again. */
  resumeDestination(id: string, destination: string): Promise<void> {
    return this.changeDestination(id, destination, { paused: false });
  }

  /** Tries a destination step by step; nothing is published unless asked for. */
  probeDestination(request: ProbeRequest): Promise<ProbeResult> {
    return this.#json("POST", "/destinations/probe", request);
  }

  /** The last minute of a destination, or of the backup beside it. */
  blackBox(id: string, destination: string, which: { backup?: boolean } = {}): Promise<BlackBox> {
    return this.#json(
      "GET",
      `${destinationPath(id, destination)}/black-box${which.backup ? "?backup=true" : ""}`,
    );
  }

  /** The same as a file, under the name that the gateway gives it. */
  async downloadBlackBox(
    id: string,
    destination: string,
    which: { backup?: boolean } = {},
  ): Promise<{ name: string; file: Blob }> {
    const query = which.backup ? "?download=true&backup=true" : "?download=true";
    const path = `${destinationPath(id, destination)}/black-box${query}`;
    const response = await this.#call("GET", path);
    const named = /filename="?([\w.-]+)"?/.exec(response.headers.get("content-disposition") ?? "");
    return { name: named?.[1] ?? `black-box-${destination}.json`, file: await response.blob() };
  }

  /** What stands in for a studio that is away. */
  slate(id: string): Promise<Slate> {
    return this.#json("GET", `${broadcastPath(id)}/slate`);
  }

  /** Puts a PNG, JPEG or MP4 in the place of the card; at most 20 MB. When it is refused, the old one stays. */
  uploadSlate(id: string, upload: Upload): Promise<Slate> {
    return this.#json("PUT", `${broadcastPath(id)}/slate`, upload);
  }

  /** Goes back to the card with the title. */
  resetSlate(id: string): Promise<Slate> {
    return this.#json("DELETE", `${broadcastPath(id)}/slate`);
  }

  /** Plays music to the slate: MP3, Ogg, WAV, M4A or FLAC. */
  uploadSlateMusic(id: string, upload: Upload): Promise<Slate> {
    return this.#json("PUT", `${broadcastPath(id)}/slate/music`, upload);
  }

  removeSlateMusic(id: string): Promise<Slate> {
    return this.#json("DELETE", `${broadcastPath(id)}/slate/music`);
  }

  /** The gateway's own RTMP receiver, or `undefined` when it runs none. */
  async localReceiver(): Promise<LocalReceiver | undefined> {
    try {
      return await this.#json("GET", "/local-receiver");
    } catch (error) {
      if (error instanceof CastgateError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Where the picture of a locally received stream can be played from, as FLV over HTTP. */
  localStreamUrl(stream: string): string {
    return `${this.#baseUrl}/api/v1/local-receiver/${encodeURIComponent(stream)}/live.flv`;
  }

  /**
   * Reports every change of a broadcast until it has ended or the signal is aborted.
   *
   * A cut stream is opened again, with growing pauses, without end. Rejects when the gateway refuses
   * (unknown broadcast, missing token).
   */
  async watchBroadcast(id: string, options: WatchOptions): Promise<void> {
    const backoff = options.backoff ?? new Backoff();
    while (!options.signal?.aborted) {
      try {
        if (await this.#watchOnce(id, options, backoff)) return;
        options.onInterruption?.(new CastgateError("network_failed", "the event stream was cut", 0));
      } catch (cause) {
        if (options.signal?.aborted) return;
        const error = errorFromFetch(cause);
        if (!error.isTransient) throw error;
        options.onInterruption?.(error);
      }
      try {
        await pause(backoff.nextMs(), options.signal);
      } catch {
        return;
      }
    }
  }

  /** Whether the broadcast has ended; false when the stream was cut before. */
  async #watchOnce(id: string, options: WatchOptions, backoff: Backoff): Promise<boolean> {
    const silence = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), EVENT_SILENCE_MS);
    };
    const stop = (): void => silence.abort();
    options.signal?.addEventListener("abort", stop, { once: true });
    heard();
    try {
      const response = await this.#call("GET", `${broadcastPath(id)}/events`, undefined, {
        accept: "text/event-stream",
        signal: silence.signal,
      });
      if (response.body === null) throw new CastgateError("bad_answer", "the event stream has no body", 0);
      for await (const event of serverEvents(response.body.pipeThrough(watching(heard)))) {
        const { broadcast, change } = newsOf(event.data, id);
        if (broadcast === undefined) continue;
        backoff.reset();
        if (event.event === "alarm" && isAlarm(change)) options.onAlarm?.(change);
        else if (isChange(change)) options.onChange?.(change);
        options.onBroadcast(broadcast);
        if (broadcast.state === "ended") return true;
      }
      return options.signal?.aborted ?? false;
    } catch (cause) {
      if (silence.signal.aborted && !options.signal?.aborted) {
        throw new CastgateError("network_failed", "the event stream went silent", 0, undefined, undefined, {
          cause,
        });
      }
      throw cause;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
    }
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#call(method, path, body);
    try {
      return (await response.json()) as T;
    } catch (cause) {
      throw new CastgateError(
        "bad_answer",
        "the gateway's answer is not JSON",
        response.status,
        undefined,
        undefined,
        {
          cause,
        },
      );
    }
  }

  async #nothing(method: string, path: string, body?: unknown): Promise<void> {
    const response = await this.#call(method, path, body);
    await response.body?.cancel();
  }

  async #call(
    method: string,
    path: string,
    body?: unknown,
    extra: { accept?: string; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const headers = new Headers({ accept: extra.accept ?? "application/json" });
    authorize(headers, this.#token);
    const init: RequestInit = { method, headers, cache: "no-store" };
    if (extra.signal !== undefined) init.signal = extra.signal;
    if (isUpload(body)) {
      headers.set("content-type", body.type);
      init.body = body.body;
    } else if (body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(body);
    }
    const response = await this.#fetch(`${this.#baseUrl}/api/v1${path}`, init).catch((cause: unknown) => {
      throw errorFromFetch(cause);
    });
    if (!response.ok) throw await errorFromResponse(response);
    return response;
  }
}

/** Puts the token into the headers, if there is one. */
export function authorize(headers: Headers, token: TokenSource): void {
  const value = typeof token === "function" ? token() : token;
  if (value !== undefined && value !== "") headers.set("authorization", `Bearer ${value}`);
}

/** What an event says: a broadcast, bare or wrapped as `{change, broadcast}`; other events say nothing. */
function newsOf(data: string, id: string): { broadcast?: Broadcast; change?: unknown } {
  try {
    const value = JSON.parse(data) as Partial<Broadcast> & { broadcast?: Broadcast; change?: unknown };
    const candidate = (typeof value.broadcast === "object" ? value.broadcast : value) as Partial<Broadcast>;
    const fits =
      candidate.id === id && candidate.state !== undefined && Array.isArray(candidate.destinations);
    return fits ? { broadcast: candidate as Broadcast, change: value.change } : {};
  } catch {
    return {};
  }
}

function isAlarm(change: unknown): change is AlarmChange {
  const { alarm, state } = (change ?? {}) as Partial<AlarmChange>;
  return typeof alarm === "string" && (state === "raised" || state === "cleared");
}

function isChange(change: unknown): change is BroadcastChange {
  const { state, reason } = (change ?? {}) as Partial<BroadcastChange>;
  return typeof state === "string" && typeof reason === "string";
}

function isUpload(body: unknown): body is Upload {
  const content = (body as Partial<Upload> | undefined)?.body;
  return content instanceof Blob || content instanceof ArrayBuffer;
}

function watching(heard: () => void): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      heard();
      controller.enqueue(chunk);
    },
  });
}

function broadcastPath(id: string): string {
  return `/broadcasts/${encodeURIComponent(id)}`;
}

function destinationPath(id: string, destination: string): string {
  return `${broadcastPath(id)}/destinations/${encodeURIComponent(destination)}`;
}
