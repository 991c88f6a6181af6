/** Adds a destination: before going live, or while on air. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { addressMistake, LOCAL_LABEL, PLATFORMS, type PlatformName } from "../broadcast/platforms.ts";
import { errorInWords } from "../broadcast/words.ts";
import { useDesk } from "./context.ts";

export function DestinationForm({ onClose }: { onClose: () => void }): JSX.Element {
  const { session } = useDesk();
  const platform = useSignal<PlatformName>("youtube");
  const url = useSignal(PLATFORMS[0]?.rtmpUrl ?? "");
  const key = useSignal("");
  const mistake = useSignal("");
  const busy = useSignal(false);
  const first = useRef<HTMLSelectElement>(null);
  useEffect(() => first.current?.focus(), []);

  const receiver = session.receiver.value;
  const offersLocal = receiver !== undefined && !session.drafts.value.some(({ id }) => id === "local");
  const isLocal = platform.value === "local";
  const hint = PLATFORMS.find(({ name }) => name === platform.value)?.keyHint;

  const choose = (name: PlatformName): void => {
    platform.value = name;
    url.value = PLATFORMS.find((each) => each.name === name)?.rtmpUrl ?? "";
    mistake.value = "";
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    mistake.value = isLocal ? "" : (addressMistake(url.value, key.value) ?? "");
    if (mistake.value !== "") return;
    busy.value = true;
    try {
      if (isLocal) await session.addLocalReceiver();
      else {
        await session.addDestination({
          platform: platform.value,
          rtmpUrl: url.value.trim(),
          streamKey: key.value.trim(),
          enabled: true,
        });
      }
      onClose();
    } catch (error) {
      mistake.value = errorInWords(error);
    } finally {
      busy.value = false;
    }
  };

  return (
    <form class="destination-form" onSubmit={(event) => void submit(event)}>
      <div class="field">
        <label for="platform">Platform</label>
        <select
          id="platform"
          ref={first}
          value={platform.value}
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
          <div class="field">
            <label for="rtmp-url">Server address</label>
            <input
              id="rtmp-url"
              type="text"
              inputMode="url"
              autocomplete="off"
              spellcheck={false}
              placeholder="rtmps://server/application"
              value={url.value}
              onInput={(event) => (url.value = event.currentTarget.value)}
            />
          </div>
          <div class="field">
            <label for="stream-key">Stream key</label>
            <input
              id="stream-key"
              type="password"
              autocomplete="off"
              aria-describedby="stream-key-hint"
              value={key.value}
              onInput={(event) => (key.value = event.currentTarget.value)}
            />
            <p class="hint" id="stream-key-hint">
              {hint}
            </p>
          </div>
        </>
      )}
      {mistake.value !== "" && (
        <p class="destination-problem" role="alert">
          {mistake.value}
        </p>
      )}
      <div class="actions">
        <button type="submit" class="button button-primary" disabled={busy.value}>
          Add destination
        </button>
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}
