/** What the gateway has: the picture that it receives, live, and the one that it sends, every few seconds. */

import {
  type Broadcast,
  type CastgateApi,
  type ViewerState,
  type ViewerStatistics,
  type WhepViewer,
  watch,
} from "@castgate/client";
import { batch, effect, type ReadonlySignal, signal } from "@preact/signals";
import { sleep } from "./sleep.ts";
import { errorInWords } from "./words.ts";

export class MonitorDesk {
  readonly state = signal<ViewerState>("idle");
  readonly stream = signal<MediaStream | undefined>(undefined);
  readonly problem = signal("");
  /** The address of the newest picture that went out, within this page. */
  readonly thumbnail = signal<string | undefined>(undefined);
  readonly #api: CastgateApi;
  readonly #broadcast: ReadonlySignal<Broadcast | undefined>;
  readonly #token: ReadonlySignal<string>;
  #viewer: WhepViewer | undefined;

  constructor(
    api: CastgateApi,
    broadcast: ReadonlySignal<Broadcast | undefined>,
    token: ReadonlySignal<string>,
  ) {
    this.#api = api;
    this.#broadcast = broadcast;
    this.#token = token;
    effect(() => {
      if (broadcast.value === undefined) this.#forget();
    });
  }

  /** Whether it may be watched: the gateway says where. */
  get isOffered(): boolean {
    return this.#broadcast.value?.whepUrl !== undefined;
  }

  watch(): void {
    const url = this.#broadcast.value?.whepUrl;
    if (url === undefined || this.#viewer !== undefined) return;
    this.problem.value = "";
    const viewer = watch({
      url: new URL(url, location.href).href,
      token: () => this.#token.value,
      wait: sleep,
      onStream: (stream) => {
        this.stream.value = stream;
      },
      onState: (state, error) => {
        batch(() => {
          this.state.value = state;
          this.problem.value = error === undefined ? "" : errorInWords(error);
          if (state === "failed") this.#let();
        });
      },
    });
    // A start that fails at once has told so already.
    if (this.state.value !== "failed") this.#viewer = viewer;
  }

  unwatch(): void {
    this.#viewer?.stop();
    this.#let();
    this.state.value = "idle";
  }

  statistics(): Promise<ViewerStatistics | undefined> {
    return this.#viewer?.statistics() ?? Promise.resolve(undefined);
  }

  /** Fetches the newest picture that went out. */
  async look(signal?: AbortSignal): Promise<void> {
    const id = this.#broadcast.value?.id;
    if (id === undefined) return;
    const picture = await this.#api.thumbnail(id, signal).catch(() => undefined);
    if (this.#broadcast.value?.id !== id || picture === undefined) return;
    this.#show(URL.createObjectURL(picture));
  }

  #show(address: string | undefined): void {
    const before = this.thumbnail.peek();
    this.thumbnail.value = address;
    if (before !== undefined) URL.revokeObjectURL(before);
  }

  #forget(): void {
    this.unwatch();
    this.#show(undefined);
    this.problem.value = "";
  }

  #let(): void {
    this.#viewer = undefined;
    this.stream.value = undefined;
  }
}
