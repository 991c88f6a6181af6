/** One broadcast from the studio's side: going live, coming back, the uplink, and the end. */

import {
  type Alarm,
  type AlarmChange,
  type Broadcast,
  type BroadcastChange,
  CastgateApi,
  CastgateError,
  type LocalReceiver,
  type PublisherState,
  type UplinkStatistics,
  type VideoCodecName,
  WhipPublisher,
} from "@castgate/client";
import { batch, computed, signal } from "@preact/signals";
import { showingOf } from "./going-out.ts";
import { holdBroadcast } from "./hold.ts";
import { randomName } from "./identity.ts";
import { Journal } from "./journal.ts";
import { forget, type Memory, recall, remember, type SceneMemory } from "./memory.ts";
import { MonitorDesk } from "./monitor-desk.ts";
import { PictureDesk } from "./picture-desk.ts";
import { Roster } from "./roster.ts";
import { SlateDesk } from "./slate-desk.ts";
import { sleep } from "./sleep.ts";
import { endingInWords, errorInWords } from "./words.ts";

export type Phase = "offline" | "starting" | "live" | "reconnecting" | "stopping";

/** What the studio sends, and how. */
export interface Programme {
  stream: MediaStream;
  scene: SceneMemory;
  videoCodec: VideoCodecName;
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
  readonly broadcast = signal<Broadcast | undefined>(undefined);
  readonly publisherState = signal<PublisherState>("idle");
  /** Why the uplink is being made anew, in words; empty when all is well. */
  readonly trouble = signal("");
  readonly uplink = signal<UplinkStatistics | undefined>(undefined);
  readonly reconnects = signal(0);
  readonly liveSince = signal<number | undefined>(undefined);
  /** Since when viewers have not seen the studio, as far as this page knows. */
  readonly awaySince = signal<number | undefined>(undefined);
  readonly receiver = signal<LocalReceiver | undefined>(undefined);
  readonly needsToken = signal(false);
  readonly token = signal("");
  /** A broadcast that this window sent and that it does not take over by itself. */
  readonly interrupted = signal<Memory | undefined>(undefined);
  /** Whether another tab of this browser has it. */
  readonly heldElsewhere = signal(false);
  readonly alarms = computed<readonly Alarm[]>(() => this.broadcast.value?.alarms ?? []);
  readonly isOnAir = computed(() => this.phase.value === "live" || this.phase.value === "reconnecting");

  readonly api = new CastgateApi({ token: () => this.token.value });
  readonly journal = new Journal();
  readonly roster = new Roster(this.api, this.broadcast);
  readonly slate = new SlateDesk(this.api, this.broadcast);
  readonly picture = new PictureDesk(this.api, this.broadcast);
  readonly monitor = new MonitorDesk(this.api, this.broadcast, this.token);
  readonly #wantedBroadcast: string | undefined;
  readonly #useLocalReceiver: boolean;
  #publisher: WhipPublisher | undefined;
  #memory: Memory | undefined;
  #letGo: (() => void) | undefined;
  #watching: AbortController | undefined;
  #watchIsCut = false;
  #receiverRound = 0;
  #timers: ReturnType<typeof setInterval>[] = [];

  constructor(options: { broadcast?: string; token?: string; useLocalReceiver: boolean }) {
    this.#wantedBroadcast = options.broadcast;
    this.#useLocalReceiver = options.useLocalReceiver;
    this.token.value = options.token ?? "";
  }

  /** What this window sent before it was reloaded; not when its address asks for another broadcast. */
  recall(): Memory | undefined {
    const memory = recall();
    const wanted = this.#wantedBroadcast;
    return wanted === undefined || wanted === memory?.broadcast ? memory : undefined;
  }

  /** Asks the gateway for its local receiver. */
  async prepare(): Promise<void> {
    try {
      this.receiver.value = await this.api.localReceiver();
      this.needsToken.value = false;
    } catch (error) {
      this.#refused(error, "");
    }
    if (this.phase.value === "offline") this.#offerLocal();
  }

  /** Opens the broadcast and publishes. Rejects with what went wrong, which `error` also tells in words. */
  async goLive(programme: Programme): Promise<void> {
    if (this.phase.value !== "offline") return;
    batch(() => {
      this.phase.value = "starting";
      this.error.value = "";
      this.interrupted.value = undefined;
    });
    this.journal.note("going_live");
    const before = this.recall();
    try {
      const broadcast = await this.#open(programme);
      if (before?.broadcast === broadcast.id) this.#keep({ ...tokensOf(before) });
      this.#letGo ??= await holdBroadcast(broadcast.id);
      void this.slate.sendChosen();
      await this.#publish(programme, { patient: false });
    } catch (error) {
      await this.#giveUp();
      this.#refused(error, "Going live failed. ");
      throw error;
    }
  }

  /**
   * Takes over the broadcast that this window sent before; its destinations have stayed open meanwhile.
   *
   * Goes on trying while the gateway cannot be reached. A broadcast that another tab has is taken from it
   * only when `force` is set.
   */
  async resume(programme: Programme, options: { force?: boolean } = {}): Promise<void> {
    const memory = this.interrupted.value ?? this.recall();
    if (memory === undefined || this.phase.value !== "offline") return;
    batch(() => {
      this.phase.value = "reconnecting";
      this.awaySince.value = Date.now();
      this.error.value = "";
      this.trouble.value = "";
      this.interrupted.value = undefined;
      this.heldElsewhere.value = false;
      if (this.token.value === "") this.token.value = memory.accessToken ?? "";
    });
    this.journal.note("resuming");
    this.#memory = { ...memory, scene: programme.scene };
    this.liveSince.value = memory.liveSince;
    this.#letGo ??= await holdBroadcast(memory.broadcast);
    if (!this.isOnAir.value) return;
    if (this.#letGo === undefined && !options.force) {
      this.#ended({ keepMemory: true });
      batch(() => {
        this.interrupted.value = memory;
        this.heldElsewhere.value = true;
      });
      return;
    }
    try {
      await this.#publish(programme, { patient: true });
    } catch (error) {
      if (this.isOnAir.value) this.#lost(error);
      throw error;
    }
  }

  /** Ends the broadcast, or leaves it when another program owns it. */
  async stop(): Promise<void> {
    const memory = this.#memory ?? this.interrupted.value;
    if (memory === undefined) return;
    this.phase.value = "stopping";
    // What is watched ends with the broadcast; its session could not be ended any more.
    this.monitor.unwatch();
    try {
      await this.#publisher?.stop();
      if (memory.owned) await this.api.endBroadcast(memory.broadcast);
    } catch (error) {
      if (!(error instanceof CastgateError && error.status === 404)) this.#refused(error, "");
    } finally {
      this.journal.note("stopped");
      this.#ended();
    }
  }

  /** Keeps how the programme is put together, for the page after a reload. */
  rememberScene(scene: SceneMemory): void {
    this.#keep({ scene });
  }

  /** Tries at once to come back, without waiting for the pause between attempts. */
  tryNow(): void {
    this.#publisher?.check();
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
    const destinations = this.roster.requests(id);
    const known = this.#wantedBroadcast === undefined ? undefined : await this.#find(id);
    let broadcast = known;
    if (broadcast === undefined) {
      const slate = this.slate.request(programme.scene.title.headline);
      broadcast = await this.api.createBroadcast({
        id,
        destinations,
        ...this.picture.request(),
        ...(slate === undefined ? {} : { slate }),
      });
    } else {
      for (const destination of destinations) {
        if (broadcast.destinations.some((each) => each.id === destination.id)) continue;
        await this.api.addDestination(id, destination);
      }
      broadcast = await this.api.broadcast(id);
    }
    this.broadcast.value = broadcast;
    this.#memory = {
      broadcast: id,
      whipUrl: new URL(broadcast.whipUrl, location.href).href,
      owned: known === undefined,
      scene: programme.scene,
    };
    return broadcast;
  }

  /** Looks in the list: asking for one that is not there would leave an error on the browser's console. */
  async #find(id: string): Promise<Broadcast | undefined> {
    return (await this.api.broadcasts()).find((each) => each.id === id && each.state !== "ended");
  }

  async #publish(programme: Programme, options: { patient: boolean }): Promise<void> {
    const memory = this.#memory;
    if (memory === undefined) return;
    this.#watch(memory.broadcast);
    const publisher = new WhipPublisher({
      url: memory.whipUrl,
      stream: programme.stream,
      token: () => this.token.value,
      videoCodec: programme.videoCodec,
      maxVideoKbps: programme.scene.videoKbps,
      maxFramesPerSecond: programme.scene.framesPerSecond,
      ...tokensOf(memory),
      wait: sleep,
      onState: (state, error) => this.#onPublisher(publisher, state, error),
      onResumeToken: (resumeToken, spareResumeTokens) => this.#keep({ resumeToken, spareResumeTokens }),
    });
    this.#publisher = publisher;
    this.#keep(this.token.value === "" ? {} : { accessToken: this.token.value });
    this.#timers.push(setInterval(() => void this.measure().catch(() => undefined), MEASURE_MS));
    this.#timers.push(setInterval(() => void this.#askReceiver(), RECEIVER_MS));
    await publisher.start(options);
    void this.#askReceiver();
  }

  #onPublisher(publisher: WhipPublisher, state: PublisherState, error?: CastgateError): void {
    if (this.#publisher !== publisher || this.phase.value === "stopping") return;
    this.publisherState.value = state;
    this.journal.note(state, error?.code);
    if (state === "live") {
      batch(() => {
        this.phase.value = "live";
        this.liveSince.value ??= Date.now();
        this.error.value = "";
        this.trouble.value = "";
      });
      this.#keep({ ...(this.liveSince.value === undefined ? {} : { liveSince: this.liveSince.value }) });
      // What was cut together with the uplink need not wait for its own pause.
      if (this.#watchIsCut && this.#memory !== undefined) this.#watch(this.#memory.broadcast);
    }
    if (state === "reconnecting") {
      batch(() => {
        this.phase.value = "reconnecting";
        this.awaySince.value ??= Date.now();
        this.trouble.value = error === undefined ? "" : errorInWords(error);
      });
    }
    if (state === "failed" && this.isOnAir.value) this.#lost(error);
  }

  /** The uplink is gone for good. What is left to take over is offered, unless somebody else has it or it is over. */
  #lost(cause: unknown): void {
    const ending = this.#publisher?.ending;
    const memory = this.#memory;
    const words = endingInWords(ending, cause);
    this.journal.note(ending ?? "failed");
    const over = ending === "taken_over" || ending === "ended";
    const needsToken = cause instanceof CastgateError && cause.needsToken;
    this.#ended({ keepMemory: !over });
    batch(() => {
      if (!over) this.interrupted.value = memory;
      if (needsToken) this.needsToken.value = true;
      this.error.value = words;
    });
  }

  #watch(id: string): void {
    this.#unwatch();
    const watching = new AbortController();
    this.#watching = watching;
    let endedBecause = "";
    void this.api
      .watchBroadcast(id, {
        signal: watching.signal,
        onBroadcast: (broadcast) => {
          this.#watchIsCut = false;
          this.#onBroadcast(broadcast);
          if (broadcast.state === "ended" && this.isOnAir.value) void this.#endedElsewhere(endedBecause);
        },
        onAlarm: (change) => this.#onAlarm(change),
        onChange: (change: BroadcastChange) => {
          if (change.destination === undefined && change.state === "ended") endedBecause = change.reason;
        },
        onInterruption: () => {
          this.#watchIsCut = true;
        },
      })
      .catch((error: unknown) => {
        // While coming back, the publisher tells what is wrong.
        if (watching.signal.aborted || this.phase.value !== "live") return;
        this.#refused(error, "The state of the broadcast is not known. ");
      });
  }

  #onBroadcast(broadcast: Broadcast): void {
    const before = this.broadcast.value;
    const showing = showingOf(broadcast);
    if (before === undefined || showingOf(before) !== showing) this.journal.note(`showing_${showing}`);
    batch(() => {
      this.broadcast.value = broadcast;
      if (showing === "freeze" || showing === "slate") this.awaySince.value ??= Date.now();
      else if (this.phase.value === "live") this.awaySince.value = undefined;
    });
  }

  #onAlarm({ alarm, state }: AlarmChange): void {
    this.journal.note(`alarm_${state}`, alarm);
  }

  #unwatch(): void {
    this.#watching?.abort();
    this.#watching = undefined;
    this.#watchIsCut = false;
  }

  async #endedElsewhere(reason: string): Promise<void> {
    const minutes = this.broadcast.value?.slate?.maxMinutes;
    this.journal.note("ended", reason);
    await this.#publisher?.stop();
    this.#ended();
    this.error.value =
      reason === "slate_over" && minutes !== undefined
        ? `Your studio was away for ${minutes === 1 ? "a minute" : `${minutes} minutes`}, so the broadcast has ended.`
        : "The broadcast was ended by another program.";
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
    this.#letGo?.();
    this.#letGo = undefined;
    if (!options.keepMemory) forget();
    batch(() => {
      this.phase.value = "offline";
      this.publisherState.value = "idle";
      this.broadcast.value = undefined;
      this.uplink.value = undefined;
      this.liveSince.value = undefined;
      this.awaySince.value = undefined;
      this.interrupted.value = undefined;
      this.heldElsewhere.value = false;
      this.trouble.value = "";
      this.reconnects.value = 0;
    });
    this.#offerLocal();
  }

  #offerLocal(): void {
    const local = this.receiver.value;
    if (local !== undefined && this.#useLocalReceiver) this.roster.offerLocal(local);
  }

  async #askReceiver(): Promise<void> {
    const broadcast = this.broadcast.value;
    if (this.phase.value !== "live" || !broadcast?.destinations.some(({ id }) => id === "local")) return;
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

  #refused(error: unknown, before: string): void {
    if (error instanceof CastgateError && error.needsToken) this.needsToken.value = true;
    if (error instanceof CastgateError && error.code === "aborted") return;
    this.error.value = before + errorInWords(error);
  }
}

function tokensOf({
  resumeToken,
  spareResumeTokens,
}: Memory): Pick<Memory, "resumeToken" | "spareResumeTokens"> {
  return {
    ...(resumeToken === undefined ? {} : { resumeToken }),
    ...(spareResumeTokens === undefined ? {} : { spareResumeTokens }),
  };
}
