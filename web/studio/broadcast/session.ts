/** One broadcast from the studio's side: going live, destinations, the uplink, and taking over after a reload. */

import {
  type Broadcast,
  CastgateApi,
  CastgateError,
  type DestinationRequest,
  type LocalReceiver,
  type PublisherState,
  type UplinkStatistics,
  WhipPublisher,
} from "@castgate/client";
import { batch, computed, signal } from "@preact/signals";
import { randomName } from "./identity.ts";
import { forget, type Memory, recall, remember } from "./memory.ts";
import type { PictureName } from "./parameters.ts";
import type { PlatformName } from "./platforms.ts";
import { errorInWords } from "./words.ts";

export type Phase = "offline" | "starting" | "live" | "reconnecting" | "stopping";

/** A destination as the user has entered it. The key is kept until the page is closed, for the next broadcast. */
export interface Draft {
  id: string;
  platform: PlatformName;
  rtmpUrl: string;
  streamKey: string;
  enabled: boolean;
}

/** What the studio sends, and how. */
export interface Programme {
  stream: MediaStream;
  videoKbps: number;
  framesPerSecond: number;
  main: PictureName;
  second: PictureName;
}

/** How often the uplink is measured, in milliseconds. */
const MEASURE_MS = 1_000;

/** How often the local receiver is asked for its streams while live, in milliseconds. */
const RECEIVER_MS = 2_000;

/** How many of these rounds are left out once it has ours: a gateway answers 100 calls a minute by default. */
const RECEIVER_ROUNDS_SKIPPED = 4;

export class Session {
  readonly phase = signal<Phase>("offline");
  readonly error = signal("");
  readonly drafts = signal<readonly Draft[]>([]);
  readonly broadcast = signal<Broadcast | undefined>(undefined);
  readonly publisherState = signal<PublisherState>("idle");
  readonly uplink = signal<UplinkStatistics | undefined>(undefined);
  readonly reconnects = signal(0);
  readonly liveSince = signal<number | undefined>(undefined);
  readonly receiver = signal<LocalReceiver | undefined>(undefined);
  readonly needsToken = signal(false);
  readonly token = signal("");
  /** A broadcast that this window sent before it was reloaded. */
  readonly interrupted = signal<Memory | undefined>(undefined);
  readonly isOnAir = computed(() => this.phase.value === "live" || this.phase.value === "reconnecting");
  readonly isBusy = computed(() => this.phase.value === "starting" || this.phase.value === "stopping");

  readonly api = new CastgateApi({ token: () => this.token.value });
  readonly #wantedBroadcast: string | undefined;
  readonly #useLocalReceiver: boolean;
  #publisher: WhipPublisher | undefined;
  #memory: Memory | undefined;
  #watching: AbortController | undefined;
  #receiverRound = 0;
  #timers: ReturnType<typeof setInterval>[] = [];

  constructor(options: { broadcast?: string; token?: string; useLocalReceiver: boolean }) {
    this.#wantedBroadcast = options.broadcast;
    this.#useLocalReceiver = options.useLocalReceiver;
    this.token.value = options.token ?? "";
  }

  /** Asks the gateway what there is: the local receiver, and a broadcast from before a reload. */
  async prepare(): Promise<void> {
    try {
      this.receiver.value = await this.api.localReceiver();
      this.needsToken.value = false;
    } catch (error) {
      this.#refused(error, "");
    }
    const local = this.receiver.value;
    if (
      local !== undefined &&
      this.#useLocalReceiver &&
      !this.drafts.value.some(({ id }) => id === "local")
    ) {
      this.drafts.value = [localDraft(local), ...this.drafts.value];
    }
    const memory = recall();
    if (memory === undefined || this.phase.value !== "offline") return;
    try {
      if ((await this.#find(memory.broadcast)) === undefined) forget();
      else this.interrupted.value = memory;
    } catch (error) {
      this.#refused(error, "");
    }
  }

  /** Opens the broadcast and publishes. Rejects with what went wrong, which `error` also tells in words. */
  async goLive(programme: Programme): Promise<void> {
    if (this.phase.value !== "offline") return;
    batch(() => {
      this.phase.value = "starting";
      this.error.value = "";
      this.interrupted.value = undefined;
    });
    const memory = recall();
    try {
      const broadcast = await this.#open(programme);
      await this.#publish(
        broadcast,
        programme,
        memory?.broadcast === broadcast.id ? memory.resumeToken : undefined,
      );
    } catch (error) {
      await this.#giveUp();
      this.#refused(error, "Going live failed. ");
      throw error;
    }
  }

  /** Takes the interrupted broadcast over; its destinations have stayed open meanwhile. */
  async resume(programme: Programme): Promise<void> {
    const memory = this.interrupted.value;
    if (memory === undefined || this.phase.value !== "offline") return;
    batch(() => {
      this.phase.value = "starting";
      this.error.value = "";
      this.interrupted.value = undefined;
    });
    try {
      const broadcast = await this.api.broadcast(memory.broadcast);
      this.#memory = { ...memory, main: programme.main, second: programme.second };
      this.broadcast.value = broadcast;
      await this.#publish(broadcast, programme, memory.resumeToken);
    } catch (error) {
      batch(() => {
        this.phase.value = "offline";
        this.interrupted.value = memory;
      });
      this.#unwatch();
      this.#refused(error, "Resuming failed. ");
      throw error;
    }
  }

  /** Ends the broadcast, or leaves it when another program owns it. */
  async stop(): Promise<void> {
    const memory = this.#memory ?? this.interrupted.value;
    if (memory === undefined) return;
    this.phase.value = "stopping";
    try {
      await this.#publisher?.stop();
      if (memory.owned) await this.api.endBroadcast(memory.broadcast);
    } catch (error) {
      if (!(error instanceof CastgateError && error.status === 404)) this.#refused(error, "");
    } finally {
      this.#ended();
    }
  }

  /** Adds a destination, at once when on air. Rejects when the gateway refuses it. */
  addDestination(draft: Omit<Draft, "id">): Promise<void> {
    return this.#add({ ...draft, id: randomName(draft.platform, 6) });
  }

  /** Takes the destinations of the page's address; their ids stay the same over reloads, so that none is added twice. */
  takeAddresses(rtmpUrls: readonly string[]): void {
    const taken = rtmpUrls.map(
      (rtmpUrl, index): Draft => ({
        id: `address-${index + 1}`,
        platform: "custom",
        rtmpUrl,
        streamKey: "",
        enabled: true,
      }),
    );
    this.drafts.value = [...this.drafts.value, ...taken];
  }

  /** Adds the gateway's own receiver, where it runs one. */
  async addLocalReceiver(): Promise<void> {
    const receiver = this.receiver.value;
    if (receiver !== undefined) await this.#add(localDraft(receiver));
  }

  async #add(entry: Draft): Promise<void> {
    const broadcast = this.broadcast.value;
    if (broadcast !== undefined) await this.api.addDestination(broadcast.id, requestOf(entry, broadcast.id));
    this.drafts.value = [...this.drafts.value, entry];
  }

  async removeDestination(id: string): Promise<void> {
    const broadcast = this.broadcast.value;
    if (broadcast?.destinations.some((destination) => destination.id === id)) {
      await this.api.removeDestination(broadcast.id, id);
    }
    this.drafts.value = this.drafts.value.filter((draft) => draft.id !== id);
  }

  async enableDestination(id: string, enabled: boolean): Promise<void> {
    const broadcast = this.broadcast.value;
    const draft = this.drafts.value.find((each) => each.id === id);
    if (broadcast?.destinations.some((destination) => destination.id === id)) {
      await this.api.changeDestination(broadcast.id, id, { enabled });
    } else if (broadcast !== undefined && draft !== undefined && enabled) {
      await this.api.addDestination(broadcast.id, requestOf({ ...draft, enabled }, broadcast.id));
    }
    this.#changeDraft(id, { enabled });
  }

  async changeKey(id: string, streamKey: string): Promise<void> {
    const broadcast = this.broadcast.value;
    if (broadcast !== undefined) await this.api.changeDestination(broadcast.id, id, { streamKey });
    this.#changeDraft(id, { streamKey });
  }

  /** The newest figures of the uplink, measured now. */
  async measure(): Promise<UplinkStatistics | undefined> {
    const statistics = await this.#publisher?.statistics();
    if (statistics !== undefined) this.uplink.value = statistics;
    this.reconnects.value = this.#publisher?.reconnects ?? 0;
    return statistics;
  }

  async #open(programme: Programme): Promise<Broadcast> {
    const id = this.#wantedBroadcast ?? randomName("studio");
    const destinations = this.drafts.value.map((draft) => requestOf(draft, id));
    const known = this.#wantedBroadcast === undefined ? undefined : await this.#find(id);
    this.#memory = {
      broadcast: id,
      owned: known === undefined,
      main: programme.main,
      second: programme.second,
    };
    if (known === undefined) {
      const made = await this.api.createBroadcast({ id, destinations });
      this.broadcast.value = made;
      return made;
    }
    for (const destination of destinations) {
      if (known.destinations.some((each) => each.id === destination.id)) continue;
      await this.api.addDestination(id, destination);
    }
    this.broadcast.value = await this.api.broadcast(id);
    return this.broadcast.value;
  }

  /** Looks in the list: asking for one that is not there would leave an error on the browser's console. */
  async #find(id: string): Promise<Broadcast | undefined> {
    return (await this.api.broadcasts()).find((each) => each.id === id && each.state !== "ended");
  }

  async #publish(broadcast: Broadcast, programme: Programme, resumeToken?: string): Promise<void> {
    this.#watch(broadcast.id);
    const publisher = new WhipPublisher({
      url: new URL(broadcast.whipUrl, location.href).href,
      stream: programme.stream,
      token: () => this.token.value,
      maxVideoKbps: programme.videoKbps,
      maxFramesPerSecond: programme.framesPerSecond,
      ...(resumeToken === undefined ? {} : { resumeToken }),
      onState: (state, error) => this.#onPublisher(publisher, state, error),
      onResumeToken: (token) => this.#keep({ resumeToken: token }),
    });
    this.#publisher = publisher;
    this.#keep({});
    await publisher.start();
    this.#timers.push(setInterval(() => void this.measure().catch(() => undefined), MEASURE_MS));
    this.#timers.push(setInterval(() => void this.#askReceiver(), RECEIVER_MS));
    void this.#askReceiver();
  }

  #onPublisher(publisher: WhipPublisher, state: PublisherState, error?: CastgateError): void {
    if (this.#publisher !== publisher || this.phase.value === "stopping") return;
    this.publisherState.value = state;
    if (state === "live") {
      batch(() => {
        this.phase.value = "live";
        this.liveSince.value ??= Date.now();
        this.error.value = "";
      });
    }
    if (state === "reconnecting") {
      this.phase.value = "reconnecting";
      if (error !== undefined) this.error.value = `${errorInWords(error)} Trying again.`;
    }
    if (state === "failed" && this.isOnAir.value) {
      this.#refused(error, "The broadcast was interrupted. ");
      const memory = this.#memory;
      const ended = this.broadcast.value?.state === "ended" || error?.status === 404;
      this.#ended({ keepMemory: !ended });
      if (!ended) this.interrupted.value = memory;
    }
  }

  #watch(id: string): void {
    this.#unwatch();
    const watching = new AbortController();
    this.#watching = watching;
    void this.api
      .watchBroadcast(id, {
        signal: watching.signal,
        onBroadcast: (broadcast) => {
          this.broadcast.value = broadcast;
          if (broadcast.state === "ended" && this.isOnAir.value) void this.#endedElsewhere();
        },
      })
      .catch((error: unknown) => {
        if (!watching.signal.aborted) this.#refused(error, "The state of the broadcast is not known. ");
      });
  }

  #unwatch(): void {
    this.#watching?.abort();
    this.#watching = undefined;
  }

  async #endedElsewhere(): Promise<void> {
    await this.#publisher?.stop();
    this.#ended();
    this.error.value = "The broadcast was ended by another program.";
  }

  /** Leaves nothing behind after a failed start. */
  async #giveUp(): Promise<void> {
    const memory = this.#memory;
    await this.#publisher?.stop();
    if (memory?.owned && this.broadcast.value !== undefined) {
      await this.api.endBroadcast(memory.broadcast).catch(() => undefined);
    }
    this.#ended();
  }

  #ended(options: { keepMemory?: boolean } = {}): void {
    this.#unwatch();
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#publisher = undefined;
    this.#memory = undefined;
    if (!options.keepMemory) forget();
    batch(() => {
      this.phase.value = "offline";
      this.publisherState.value = "idle";
      this.broadcast.value = undefined;
      this.uplink.value = undefined;
      this.liveSince.value = undefined;
      this.interrupted.value = undefined;
      this.reconnects.value = 0;
    });
  }

  async #askReceiver(): Promise<void> {
    const broadcast = this.broadcast.value;
    if (!broadcast?.destinations.some(({ id }) => id === "local")) return;
    const known = this.receiver.value?.streams.some(({ id }) => id === broadcast.id) ?? false;
    this.#receiverRound += 1;
    if (known && this.#receiverRound % (RECEIVER_ROUNDS_SKIPPED + 1) !== 0) return;
    try {
      this.receiver.value = await this.api.localReceiver();
    } catch {
      // The next round asks again; the receiver's picture does not matter to the broadcast.
    }
  }

  #keep(change: Partial<Memory>): void {
    if (this.#memory === undefined) return;
    this.#memory = { ...this.#memory, ...change };
    remember(this.#memory);
  }

  #changeDraft(id: string, change: Partial<Draft>): void {
    this.drafts.value = this.drafts.value.map((draft) => (draft.id === id ? { ...draft, ...change } : draft));
  }

  #refused(error: unknown, before: string): void {
    if (error instanceof CastgateError && error.needsToken) this.needsToken.value = true;
    if (error instanceof CastgateError && error.code === "aborted") return;
    this.error.value = before + errorInWords(error);
  }
}

function localDraft(receiver: LocalReceiver): Draft {
  return { id: "local", platform: "local", rtmpUrl: receiver.rtmpUrl, streamKey: "", enabled: true };
}

/** The local receiver's streams are named after their broadcasts, so that each studio finds its own. */
function requestOf(draft: Draft, broadcast: string): DestinationRequest {
  const streamKey = draft.platform === "local" ? broadcast : draft.streamKey;
  return {
    id: draft.id,
    platform: draft.platform,
    rtmpUrl: draft.rtmpUrl,
    ...(streamKey === "" ? {} : { streamKey }),
    enabled: draft.enabled,
  };
}
