/** The destinations as the user has entered them, and what is done to them while on air. */

import type {
  AfterCut,
  BackupMode,
  Broadcast,
  CastgateApi,
  DestinationChange,
  DestinationRequest,
  LocalReceiver,
  ProbeResult,
} from "@castgate/client";
import { type ReadonlySignal, signal } from "@preact/signals";
import { randomName } from "./identity.ts";
import type { PlatformName } from "./platforms.ts";

/** A destination as the user has entered it. The key is kept until the page is closed, for the next broadcast. */
export interface Draft {
  id: string;
  platform: PlatformName;
  rtmpUrl: string;
  streamKey: string;
  enabled: boolean;
  backupRtmpUrl: string;
  backupMode: BackupMode;
  afterCut: AfterCut;
  /** The name of a preset; empty for the show's own picture. */
  rendition: string;
  required: boolean;
}

/** A draft in which nothing has been chosen yet. */
export const PLAIN_DRAFT: Omit<Draft, "id" | "platform" | "rtmpUrl"> = {
  streamKey: "",
  enabled: true,
  backupRtmpUrl: "",
  backupMode: "failover",
  afterCut: "jump",
  rendition: "",
  required: false,
};

export class Roster {
  readonly drafts = signal<readonly Draft[]>([]);
  readonly #api: CastgateApi;
  readonly #broadcast: ReadonlySignal<Broadcast | undefined>;

  constructor(api: CastgateApi, broadcast: ReadonlySignal<Broadcast | undefined>) {
    this.#api = api;
    this.#broadcast = broadcast;
  }

  /** All drafts as the gateway wants them. */
  requests(broadcast: string): DestinationRequest[] {
    return this.drafts.value.map((draft) => requestOf(draft, broadcast));
  }

  /** Adds a destination, at once when on air. Rejects when the gateway refuses it. */
  add(draft: Omit<Draft, "id">): Promise<void> {
    return this.#add({ ...draft, id: randomName(draft.platform, 6) });
  }

  /** Adds the gateway's own receiver. */
  addLocal(receiver: LocalReceiver): Promise<void> {
    return this.#add(localDraft(receiver));
  }

  /** Puts the gateway's own receiver first, for the next broadcast. */
  offerLocal(receiver: LocalReceiver): void {
    if (this.drafts.value.some(({ id }) => id === "local")) return;
    this.drafts.value = [localDraft(receiver), ...this.drafts.value];
  }

  /** Takes the destinations of the page's address; their ids stay the same over reloads, so that none is added twice. */
  takeAddresses(rtmpUrls: readonly string[]): void {
    const taken = rtmpUrls.map(
      (rtmpUrl, index): Draft => ({
        ...PLAIN_DRAFT,
        id: `address-${index + 1}`,
        platform: "custom",
        rtmpUrl,
      }),
    );
    this.drafts.value = [...this.drafts.value, ...taken];
  }

  async remove(id: string): Promise<void> {
    const broadcast = this.#knowing(id);
    if (broadcast !== undefined) await this.#api.removeDestination(broadcast.id, id);
    this.drafts.value = this.drafts.value.filter((draft) => draft.id !== id);
  }

  async enable(id: string, enabled: boolean): Promise<void> {
    const broadcast = this.#broadcast.value;
    const draft = this.drafts.value.find((each) => each.id === id);
    if (broadcast !== undefined && this.#knowing(id) === undefined) {
      if (draft !== undefined && enabled) {
        await this.#api.addDestination(broadcast.id, requestOf({ ...draft, enabled }, broadcast.id));
      }
      this.#note(id, { enabled });
    } else await this.change(id, { enabled });
  }

  /** Changes a destination, at once when on air; the others notice nothing. */
  async change(id: string, change: DestinationChange): Promise<void> {
    const broadcast = this.#knowing(id);
    if (broadcast !== undefined) await this.#api.changeDestination(broadcast.id, id, change);
    const { paused: _, ...kept } = change;
    this.#note(id, kept);
  }

  /** Tries a destination that may not have been added yet; only with `publish` the key is tried as well. */
  probe(
    { rtmpUrl, streamKey }: Pick<Draft, "rtmpUrl" | "streamKey">,
    publish: boolean,
  ): Promise<ProbeResult> {
    return this.#api.probeDestination({
      rtmpUrl,
      ...(streamKey === "" ? {} : { streamKey }),
      ...(publish ? { publish } : {}),
    });
  }

  async #add(entry: Draft): Promise<void> {
    const broadcast = this.#broadcast.value;
    if (broadcast !== undefined) await this.#api.addDestination(broadcast.id, requestOf(entry, broadcast.id));
    this.drafts.value = [...this.drafts.value, entry];
  }

  /** The broadcast, when the gateway knows the destination as part of it. */
  #knowing(id: string): Broadcast | undefined {
    const broadcast = this.#broadcast.value;
    return broadcast?.destinations.some((each) => each.id === id) ? broadcast : undefined;
  }

  #note(id: string, change: Partial<Draft>): void {
    this.drafts.value = this.drafts.value.map((draft) => (draft.id === id ? { ...draft, ...change } : draft));
  }
}

function localDraft(receiver: LocalReceiver): Draft {
  return { ...PLAIN_DRAFT, id: "local", platform: "local", rtmpUrl: receiver.rtmpUrl };
}

/** What differs from the usual is told; the local receiver's streams are named after their broadcasts. */
export function requestOf(draft: Draft, broadcast: string): DestinationRequest {
  const streamKey = draft.platform === "local" ? broadcast : draft.streamKey;
  return {
    id: draft.id,
    platform: draft.platform,
    rtmpUrl: draft.rtmpUrl,
    ...(streamKey === "" ? {} : { streamKey }),
    ...(draft.backupRtmpUrl === ""
      ? {}
      : { backupRtmpUrl: draft.backupRtmpUrl, backupMode: draft.backupMode }),
    ...(draft.afterCut === "jump" ? {} : { afterCut: draft.afterCut }),
    ...(draft.rendition === "" ? {} : { rendition: { preset: draft.rendition } }),
    ...(draft.required ? { required: true } : {}),
    enabled: draft.enabled,
  };
}
