/** How the gateway makes the pictures that go out: wished for before going live, changed while on air. */

import type { Broadcast, BroadcastPatch, BroadcastRequest, CastgateApi, Method } from "@castgate/client";
import { type ReadonlySignal, signal } from "@preact/signals";
import { codecName } from "../ui/format.ts";
import { errorInWords } from "./words.ts";

/** `auto` leaves it to the gateway. */
export type MethodWish = Method | "auto";

export interface PictureWishes {
  method: MethodWish;
  /** Encode anew what could go out as it is. */
  transcode: boolean;
}

export class PictureDesk {
  readonly wishes = signal<PictureWishes>({ method: "auto", transcode: false });
  readonly problem = signal("");
  readonly busy = signal(false);
  readonly #api: CastgateApi;
  readonly #broadcast: ReadonlySignal<Broadcast | undefined>;

  constructor(api: CastgateApi, broadcast: ReadonlySignal<Broadcast | undefined>) {
    this.#api = api;
    this.#broadcast = broadcast;
  }

  /** What differs from the usual, for a new broadcast. */
  request(): Pick<BroadcastRequest, "method" | "video"> {
    const { method, transcode } = this.wishes.value;
    return {
      ...(method === "auto" ? {} : { method }),
      ...(transcode ? { video: { mode: "transcode" } } : {}),
    };
  }

  /** Wishes something else, at once when on air. What the gateway refuses is told in words. */
  async change(part: Partial<PictureWishes>): Promise<void> {
    const broadcast = this.#broadcast.value;
    this.problem.value = "";
    if (broadcast !== undefined) {
      this.busy.value = true;
      try {
        await this.#api.changeBroadcast(broadcast.id, patchOf(part));
      } catch (error) {
        this.problem.value = errorInWords(error);
        return;
      } finally {
        this.busy.value = false;
      }
    }
    this.wishes.value = { ...this.wishes.value, ...part };
  }
}

function patchOf({ method, transcode }: Partial<PictureWishes>): BroadcastPatch {
  return {
    ...(method === undefined || method === "auto" ? {} : { method }),
    ...(transcode === undefined ? {} : { video: { mode: transcode ? "transcode" : "auto" } }),
  };
}

const METHOD_WORDS: Readonly<Record<string, string>> = { gstreamer: "GStreamer", ffmpeg: "FFmpeg" };

/** What becomes of the studio's picture, in one sentence; empty while the gateway does not tell. */
export function engineInWords({ ingest, egress, method }: Broadcast): string {
  const codec = ingest?.video?.codec;
  if (codec === undefined || egress?.video === undefined) return "";
  const name = codecName(codec);
  const by = METHOD_WORDS[egress.engine ?? method ?? ""];
  const maker = by === undefined ? "" : `, by ${by}`;
  if (egress.engineState === "failing")
    return `${name} cannot be encoded${by === undefined ? "" : ` by ${by}`} now: it is tried again.`;
  if (egress.video === "passthrough") {
    return `${name} is passed through as it is${egress.engine === "ffmpeg" ? maker : ""}.`;
  }
  const size =
    egress.width === undefined || egress.height === undefined ? "" : ` of ${egress.width} × ${egress.height}`;
  return `${name} is encoded anew as H.264${size}${maker}.`;
}
