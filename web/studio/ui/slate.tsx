/** What viewers see while the studio is away. */

import type { JSX } from "preact";
import { SLATE_MINUTES, type SlatePart, type SlateWishes } from "../broadcast/slate-desk.ts";
import { MUSIC_ACCEPT, PICTURE_ACCEPT } from "../broadcast/slate-files.ts";
import { useDesk } from "./context.ts";
import { Icon } from "./icons.tsx";
import { Switch } from "./switch.tsx";

export function SlatePanel(): JSX.Element {
  const { session } = useDesk();
  const { wishes, live, problem } = session.slate;
  const fixed = session.phase.value !== "offline";
  const enabled = fixed ? (live.value?.enabled ?? true) : wishes.value.enabled;
  return (
    <section class="panel" aria-labelledby="slate-heading">
      <div class="panel-head">
        <h2 id="slate-heading">Slate</h2>
        {fixed && live.value?.enabled && (
          <span class="badge">{live.value.ready ? "Ready" : "In preparation"}</span>
        )}
      </div>
      <p class="hint">
        If your picture stops, viewers see its last frame, then the slate. Your broadcast goes on meanwhile.
      </p>
      {!fixed && (
        <Switch on={enabled} onChange={(on) => (wishes.value = { ...wishes.value, enabled: on })}>
          Show a slate
        </Switch>
      )}
      {fixed && !enabled && <p>This broadcast has no slate.</p>}
      {enabled && <Wishes fixed={fixed} />}
      {enabled && (
        <details class="more">
          <summary>Picture and sound</summary>
          <div class="more-body">
            <File part="picture" />
            <File part="music" />
          </div>
        </details>
      )}
      {problem.value !== "" && (
        <p class="destination-problem" role="alert">
          {problem.value}
        </p>
      )}
    </section>
  );
}

function Wishes({ fixed }: { fixed: boolean }): JSX.Element {
  const { studio, session } = useDesk();
  const { wishes, live } = session.slate;
  const change = (part: Partial<SlateWishes>): void => {
    wishes.value = { ...wishes.value, ...part };
  };
  if (fixed) {
    const { title = "", maxMinutes } = live.value ?? {};
    return (
      <p>
        {title === "" ? "Without a title" : `“${title}”`}
        {maxMinutes !== undefined && ` · for ${minutes(maxMinutes)} at most, then the broadcast ends`}
      </p>
    );
  }
  return (
    <div class="row">
      <div class="field">
        <label for="slate-title">Title on the slate</label>
        <input
          id="slate-title"
          type="text"
          maxLength={80}
          placeholder={studio.title.value.headline || "Name of the show"}
          value={wishes.value.title}
          onInput={(event) => change({ title: event.currentTarget.value })}
        />
      </div>
      <div class="field">
        <label for="slate-minutes">Broadcast ends after</label>
        <select
          id="slate-minutes"
          value={String(wishes.value.maxMinutes)}
          onChange={(event) => change({ maxMinutes: Number(event.currentTarget.value) })}
        >
          {SLATE_MINUTES.map((each) => (
            <option key={each} value={String(each)}>
              {minutes(each)}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}

const PART_WORDS = {
  picture: {
    label: "Picture",
    plain: "A card with the title",
    choose: "Choose picture or video",
    reset: "Back to the card",
    accept: PICTURE_ACCEPT,
  },
  music: {
    label: "Sound",
    plain: "Silence",
    choose: "Choose music",
    reset: "Back to silence",
    accept: MUSIC_ACCEPT,
  },
} as const;

function File({ part }: { part: SlatePart }): JSX.Element {
  const { session } = useDesk();
  const { files, live, busy } = session.slate;
  const words = PART_WORDS[part];
  const chosen = files.value[part];
  const known = part === "picture" ? live.value?.source : live.value?.music ? "music" : undefined;
  const inPlace = chosen !== undefined || (known !== undefined && known !== "card");
  const id = `slate-${part}`;
  const own = part === "music" ? "Your music" : `Your ${known}`;
  const plain = part === "music" && live.value?.source === "video" ? "That of the video" : words.plain;
  const now = chosen ?? (inPlace ? own : plain);
  const take = (input: HTMLInputElement): void => {
    const [file] = input.files ?? [];
    if (file !== undefined) void session.slate.choose(part, file);
    // The same file may be chosen again after a mistake.
    input.value = "";
  };
  return (
    <div class="file">
      <p class="file-now">
        <span class="hint">{words.label}</span>
        <span>{busy.value === part ? "Sending…" : now}</span>
      </p>
      <div class="actions">
        <input
          id={id}
          class="visually-hidden"
          type="file"
          accept={words.accept}
          disabled={busy.value !== undefined}
          onChange={(event) => take(event.currentTarget)}
        />
        <label for={id} class="button button-small">
          <Icon name="upload" /> {words.choose}
        </label>
        {inPlace && (
          <button
            type="button"
            class="button button-small"
            disabled={busy.value !== undefined}
            onClick={() => void session.slate.reset(part)}
          >
            {words.reset}
          </button>
        )}
      </div>
    </div>
  );
}

function minutes(count: number): string {
  if (count >= 60 && count % 60 === 0) return count === 60 ? "an hour" : `${count / 60} hours`;
  return count === 1 ? "a minute" : `${count} minutes`;
}
