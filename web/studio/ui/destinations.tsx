/** Where the broadcast goes, and how each destination fares. */

import type { Destination } from "@castgate/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { platformLabel, serverOf } from "../broadcast/platforms.ts";
import type { Draft } from "../broadcast/session.ts";
import { errorInWords, failureInWords, STATE_WORDS } from "../broadcast/words.ts";
import { useDesk } from "./context.ts";
import { DestinationForm } from "./destination-form.tsx";
import { bitrate, clock, counted } from "./format.ts";
import { Icon } from "./icons.tsx";
import { Switch } from "./switch.tsx";

/** A destination as entered here, as known to the gateway, or both. */
interface Row {
  id: string;
  draft?: Draft;
  live?: Destination;
}

export function Destinations(): JSX.Element {
  const { session } = useDesk();
  const adding = useSignal(false);
  const live = session.broadcast.value?.destinations ?? [];
  const drafts = session.drafts.value;
  const rows: Row[] = [
    ...drafts.map((draft) => {
      const known = live.find(({ id }) => id === draft.id);
      return { id: draft.id, draft, ...(known === undefined ? {} : { live: known }) };
    }),
    ...live
      .filter(({ id }) => !drafts.some((draft) => draft.id === id))
      .map((known) => ({ id: known.id, live: known })),
  ];
  return (
    <section class="panel" aria-labelledby="destinations-heading">
      <div class="panel-head">
        <h2 id="destinations-heading">Destinations</h2>
        {!adding.value && (
          <button type="button" class="button button-small" onClick={() => (adding.value = true)}>
            <Icon name="plus" /> Add
          </button>
        )}
      </div>
      {adding.value && <DestinationForm onClose={() => (adding.value = false)} />}
      {rows.length === 0 && !adding.value && (
        <p class="hint">No destination yet. Add a platform, then go live.</p>
      )}
      <ul class="destinations">
        {rows.map((row) => (
          <DestinationRow key={row.id} row={row} />
        ))}
      </ul>
    </section>
  );
}

function DestinationRow({ row }: { row: Row }): JSX.Element {
  const { session } = useDesk();
  const problem = useSignal("");
  const busy = useSignal(false);
  const changingKey = useSignal(false);
  const { draft, live } = row;
  const name = platformLabel(draft?.platform ?? live?.platform);
  const enabled = live?.enabled ?? draft?.enabled ?? true;
  const failure = live?.state === "live" ? undefined : live?.lastError;

  const perform = async (action: Promise<void>): Promise<void> => {
    busy.value = true;
    problem.value = "";
    try {
      await action;
    } catch (error) {
      problem.value = errorInWords(error);
    } finally {
      busy.value = false;
    }
  };

  return (
    <li class="destination">
      <div class="destination-head">
        <Switch
          on={enabled}
          disabled={busy.value}
          onChange={(on) => void perform(session.enableDestination(row.id, on))}
        >
          <span class="destination-name">{name}</span>
        </Switch>
        <StateBadge live={live} enabled={enabled} />
        <button
          type="button"
          class="button button-icon"
          aria-label={`Remove ${name}`}
          title="Remove"
          disabled={busy.value}
          onClick={() => void perform(session.removeDestination(row.id))}
        >
          <Icon name="remove" />
        </button>
      </div>
      <p class="destination-server">{live?.server ?? serverOf(draft?.rtmpUrl ?? "")}</p>
      {live !== undefined && enabled && <Figures live={live} />}
      {failure !== undefined && failure !== null && enabled && (
        <p class="destination-problem">{failureInWords(failure)}</p>
      )}
      {problem.value !== "" && (
        <p class="destination-problem" role="alert">
          {problem.value}
        </p>
      )}
      {live !== undefined && failure?.code === "key_refused" && !changingKey.value && (
        <button type="button" class="button button-small" onClick={() => (changingKey.value = true)}>
          <Icon name="key" /> Change the key
        </button>
      )}
      {changingKey.value && (
        <KeyForm
          id={row.id}
          onDone={(key) => {
            changingKey.value = false;
            if (key !== undefined) void perform(session.changeKey(row.id, key));
          }}
        />
      )}
    </li>
  );
}

function StateBadge({ live, enabled }: { live: Destination | undefined; enabled: boolean }): JSX.Element {
  const state = enabled ? live?.state : "stopped";
  if (state === undefined) return <span class="badge">Ready</span>;
  return <span class={`badge badge-${state}`}>{STATE_WORDS[state]}</span>;
}

function Figures({ live }: { live: Destination }): JSX.Element {
  const parts = [bitrate(live.bitrateKbps ?? 0)];
  const since = Date.parse(live.since ?? "");
  if (live.state === "live" && Number.isFinite(since)) parts.push(`for ${clock(Date.now() - since)}`);
  if ((live.reconnects ?? 0) > 0) parts.push(counted(live.reconnects ?? 0, "reconnect"));
  if ((live.framesDropped ?? 0) > 0) parts.push(`${counted(live.framesDropped ?? 0, "frame")} dropped`);
  return <p class="destination-figures">{parts.join(" · ")}</p>;
}

function KeyForm({ id, onDone }: { id: string; onDone: (key?: string) => void }): JSX.Element {
  const text = useSignal("");
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(text.value.trim());
      }}
    >
      <div class="field">
        <label for={`key-${id}`}>New stream key</label>
        <input
          id={`key-${id}`}
          type="password"
          autocomplete="off"
          required
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
      </div>
      <div class="actions">
        <button type="submit" class="button button-primary">
          Use key
        </button>
        <button type="button" class="button" onClick={() => onDone()}>
          Cancel
        </button>
      </div>
    </form>
  );
}
