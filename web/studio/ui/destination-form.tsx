/** Adds a destination: before going live, or while on air. */

import type { BackupMode, ProbeResult } from "@castgate/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { addressMistake, LOCAL_LABEL, PLATFORMS, type PlatformName } from "../broadcast/platforms.ts";
import { type Draft, PLAIN_DRAFT } from "../broadcast/roster.ts";
import { errorInWords } from "../broadcast/words.ts";
import { useDesk } from "./context.ts";
import { AfterCutSelect, RequiredSwitch } from "./destination-choices.tsx";
import { ProbeReport } from "./probe.tsx";
import { RenditionSelect } from "./rendition-select.tsx";

type Entry = Omit<Draft, "id">;

const EMPTY: Entry = { ...PLAIN_DRAFT, platform: "youtube", rtmpUrl: PLATFORMS[0]?.rtmpUrl ?? "" };

export function DestinationForm({ onClose }: { onClose: () => void }): JSX.Element {
  const { session } = useDesk();
  const entry = useSignal<Entry>(EMPTY);
  const mistake = useSignal("");
  const busy = useSignal<"" | "adding" | "testing">("");
  const probed = useSignal<ProbeResult | undefined>(undefined);
  const first = useRef<HTMLSelectElement>(null);
  useEffect(() => first.current?.focus(), []);

  const receiver = session.receiver.value;
  const offersLocal = receiver !== undefined && !session.roster.drafts.value.some(({ id }) => id === "local");
  const { platform, rtmpUrl, streamKey } = entry.value;
  const isLocal = platform === "local";
  const hint = PLATFORMS.find(({ name }) => name === platform)?.keyHint;

  const change = (part: Partial<Entry>): void => {
    entry.value = { ...entry.value, ...part };
    probed.value = undefined;
    mistake.value = "";
  };
  const choose = (name: PlatformName): void =>
    change({ platform: name, rtmpUrl: PLATFORMS.find((each) => each.name === name)?.rtmpUrl ?? "" });

  const attempt = async (what: "adding" | "testing", action: () => Promise<void>): Promise<void> => {
    mistake.value = isLocal ? "" : mistakeIn(entry.value, what === "adding");
    if (mistake.value !== "") return;
    busy.value = what;
    try {
      await action();
    } catch (error) {
      mistake.value = errorInWords(error);
    } finally {
      busy.value = "";
    }
  };
  const test = (publish: boolean): Promise<void> =>
    attempt("testing", async () => {
      probed.value = undefined;
      probed.value = await session.roster.probe(trimmed(entry.value), publish);
    });
  const submit = (event: Event): Promise<void> => {
    event.preventDefault();
    return attempt("adding", async () => {
      if (isLocal && receiver !== undefined) await session.roster.addLocal(receiver);
      else await session.roster.add(trimmed(entry.value));
      onClose();
    });
  };

  return (
    <form class="destination-form" onSubmit={(event) => void submit(event)}>
      <div class="field">
        <label for="platform">Platform</label>
        <select
          id="platform"
          ref={first}
          value={platform}
          onChange={(event) => choose(event.currentTarget.value as PlatformName)}
        >
          {PLATFORMS.map(({ name, label }) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
          {offersLocal && <option value="local">{LOCAL_LABEL}</option>}
        </select>
      </div>
      {!isLocal && (
        <>
          <AddressField
            id="rtmp-url"
            label="Server address"
            value={rtmpUrl}
            onInput={(text) => change({ rtmpUrl: text })}
          />
          <div class="field">
            <label for="stream-key">Stream key</label>
            <input
              id="stream-key"
              type="password"
              autocomplete="off"
              aria-describedby="stream-key-hint"
              value={streamKey}
              onInput={(event) => change({ streamKey: event.currentTarget.value })}
            />
            <p class="hint" id="stream-key-hint">
              {hint}
            </p>
          </div>
          <Advanced entry={entry.value} onChange={change} />
        </>
      )}
      {mistake.value !== "" && (
        <p class="destination-problem" role="alert">
          {mistake.value}
        </p>
      )}
      <div role="status">
        {busy.value === "testing" && <p class="hint">Testing…</p>}
        {probed.value !== undefined && (
          <ProbeReport
            result={probed.value}
            {...(streamKey.trim() === "" ? {} : { onCheckKey: () => void test(true) })}
          />
        )}
      </div>
      <div class="actions">
        <button type="submit" class="button button-primary" disabled={busy.value !== ""}>
          Add destination
        </button>
        {!isLocal && (
          <button type="button" class="button" disabled={busy.value !== ""} onClick={() => void test(false)}>
            Test
          </button>
        )}
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}

/** What most shows leave as it is. */
function Advanced(props: { entry: Entry; onChange: (part: Partial<Entry>) => void }): JSX.Element {
  const { entry, onChange } = props;
  return (
    <details class="more">
      <summary>Advanced</summary>
      <div class="more-body">
        <AddressField
          id="backup-url"
          label="Backup server address"
          value={entry.backupRtmpUrl}
          onInput={(backupRtmpUrl) => onChange({ backupRtmpUrl })}
        />
        {entry.backupRtmpUrl.trim() !== "" && (
          <div class="field">
            <label for="backup-mode">The backup is sent to</label>
            <select
              id="backup-mode"
              value={entry.backupMode}
              onChange={(event) => onChange({ backupMode: event.currentTarget.value as BackupMode })}
            >
              <option value="failover">When the main server fails</option>
              <option value="simultaneous">All the time, beside the main server</option>
            </select>
          </div>
        )}
        <RenditionSelect
          id="rendition"
          preset={entry.rendition}
          onChange={(rendition) => onChange({ rendition })}
        />
        <AfterCutSelect
          id="after-cut"
          value={entry.afterCut}
          onChange={(afterCut) => onChange({ afterCut })}
        />
        <RequiredSwitch id="required" on={entry.required} onChange={(required) => onChange({ required })} />
      </div>
    </details>
  );
}

function AddressField(props: {
  id: string;
  label: string;
  value: string;
  onInput: (text: string) => void;
}): JSX.Element {
  return (
    <div class="field">
      <label for={props.id}>{props.label}</label>
      <input
        id={props.id}
        type="text"
        inputMode="url"
        autocomplete="off"
        spellcheck={false}
        placeholder="rtmps://server/application"
        value={props.value}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
    </div>
  );
}

/** A test needs no key: most of what can be wrong shows without one. */
function mistakeIn({ rtmpUrl, streamKey, backupRtmpUrl }: Entry, needsKey: boolean): string {
  const key = streamKey.trim() === "" && !needsKey ? "test" : streamKey;
  const backup = backupRtmpUrl.trim() === "" ? undefined : addressMistake(backupRtmpUrl, key || "key");
  return addressMistake(rtmpUrl, key) ?? (backup === undefined ? "" : `Backup server: ${backup}`);
}

function trimmed(entry: Entry): Entry {
  return {
    ...entry,
    rtmpUrl: entry.rtmpUrl.trim(),
    streamKey: entry.streamKey.trim(),
    backupRtmpUrl: entry.backupRtmpUrl.trim(),
  };
}
