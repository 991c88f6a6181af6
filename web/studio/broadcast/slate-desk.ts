/** What is to stand in for the studio while it is away. */

import type { Broadcast, CastgateApi, Slate, SlateRequest } from "@castgate/client";
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { judgeMusic, judgePicture } from "./slate-files.ts";
import { errorInWords } from "./words.ts";

export type SlatePart = "picture" | "music";

/** What the user wishes for the next broadcast. */
export interface SlateWishes {
  enabled: boolean;
  title: string;
  maxMinutes: number;
}

export const SLATE_MINUTES: readonly number[] = [5, 10, 30, 60, 240];

const USUAL: SlateWishes = { enabled: true, title: "", maxMinutes: 10 };

export class SlateDesk {
  readonly wishes = signal<SlateWishes>(USUAL);
  /** Names of the files that were chosen in this window. */
  readonly files = signal<Readonly<Partial<Record<SlatePart, string>>>>({});
  readonly busy = signal<SlatePart | undefined>(undefined);
  readonly problem = signal("");
  /** The slate of the broadcast, once there is one. */
  readonly live: ReadonlySignal<Slate | undefined>;
  readonly #api: CastgateApi;
  readonly #broadcast: ReadonlySignal<Broadcast | undefined>;
  readonly #chosen = new Map<SlatePart, { body: File; type: string }>();

  constructor(api: CastgateApi, broadcast: ReadonlySignal<Broadcast | undefined>) {
    this.#api = api;
    this.#broadcast = broadcast;
    this.live = computed(() => broadcast.value?.slate ?? undefined);
  }

  /** What to ask for; `undefined` when all is as usual. The show's title stands in for the slate's. */
  request(showTitle: string): SlateRequest | undefined {
    const { enabled, title, maxMinutes } = this.wishes.value;
    const shown = title.trim() || showTitle.trim();
    const request: SlateRequest = {
      ...(enabled ? {} : { enabled }),
      ...(shown === "" ? {} : { title: shown.slice(0, 80) }),
      ...(maxMinutes === USUAL.maxMinutes ? {} : { maxMinutes }),
    };
    return Object.keys(request).length === 0 ? undefined : request;
  }

  /** Takes a file, and sends it at once when there is a broadcast. A refused one leaves the old one in place. */
  async choose(part: SlatePart, file: File): Promise<void> {
    const judged = part === "picture" ? judgePicture(file) : judgeMusic(file);
    this.problem.value = "";
    if ("mistake" in judged) {
      this.problem.value = judged.mistake;
      return;
    }
    const before = this.#chosen.get(part);
    this.#choose(part, { body: file, type: judged.type });
    if (await this.#send(part)) return;
    this.#choose(part, before);
  }

  /** Goes back to the card, or to silence. */
  async reset(part: SlatePart): Promise<void> {
    this.problem.value = "";
    const id = this.#broadcast.value?.id;
    try {
      if (id !== undefined) {
        await (part === "picture" ? this.#api.resetSlate(id) : this.#api.removeSlateMusic(id));
      }
      this.#choose(part, undefined);
    } catch (error) {
      this.problem.value = errorInWords(error);
    }
  }

  /** Sends what was chosen before there was a broadcast. The show does not wait for it. */
  async sendChosen(): Promise<void> {
    for (const part of this.#chosen.keys()) {
      if (!(await this.#send(part))) return;
    }
  }

  /** Whether it was taken, or can wait for a broadcast. */
  async #send(part: SlatePart): Promise<boolean> {
    const id = this.#broadcast.value?.id;
    const upload = this.#chosen.get(part);
    if (id === undefined || upload === undefined) return true;
    this.busy.value = part;
    try {
      await (part === "picture" ? this.#api.uploadSlate(id, upload) : this.#api.uploadSlateMusic(id, upload));
      return true;
    } catch (error) {
      this.problem.value = errorInWords(error);
      return false;
    } finally {
      this.busy.value = undefined;
    }
  }

  #choose(part: SlatePart, upload: { body: File; type: string } | undefined): void {
    const names = { ...this.files.value };
    if (upload === undefined) {
      this.#chosen.delete(part);
      delete names[part];
    } else {
      this.#chosen.set(part, upload);
      names[part] = upload.body.name;
    }
    this.files.value = names;
  }
}
