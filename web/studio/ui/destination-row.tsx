/** One destination: on or off, how it fares, and what can be done about it. */

import type { AfterCut, Destination } from "@castgate/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { fareOf } from "../broadcast/fare.ts";
import { platformLabel, serverOf } from "../broadcast/platforms.ts";
import { renditionInWords } from "../broadcast/renditions.ts";
import type { Draft } from "../broadcast/roster.ts";
import { errorInWords, failureInWords, STATE_WORDS } from "../broadcast/words.ts";
import { BlackBoxDialog } from "./black-box.tsx";
import { useDesk } from "./context.ts";
import { AfterCutSelect, RequiredSwitch } from "./destination-choices.tsx";
import { bitrate, clock, counted } from "./format.ts";
import { Icon } from "./icons.tsx";
import { KeyForm } from "./key-form.tsx";
import { Switch } from "./switch.tsx";

/** A destination as entered here, as known to the gateway, or both. */
export interface Row {
  id: string;
  draft?: Draft;
  live?: Destination;
}

type Perform = (action: Promise<void>) => Promise<void>;

export function DestinationRow({ row }: { row: Row }): JSX.Element {
  const { session } = useDesk();
  const problem = useSignal("");
  const busy = useSignal(false);
  const changingKey = useSignal(false);
  const { draft, live } = row;
  const name = platformLabel(draft?.platform ?? live?.platform);
  const enabled = live?.enabled ?? draft?.enabled ?? true;
  const failure = live?.state === "live" ? undefined : live?.lastError;

  const perform: Perform = async (action) => {
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
          onChange={(on) => void perform(session.roster.enable(row.id, on))}
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
          onClick={() => void perform(session.roster.remove(row.id))}
        >
          <Icon name="remove" />
        </button>
      </div>
      <p class="destination-server">{live?.server ?? serverOf(draft?.rtmpUrl ?? "")}</p>
      {live !== undefined && enabled && <Figures live={live} />}
      {live?.rendition !== undefined && live.rendition !== null && enabled && (
        <p class="destination-figures">Sent as {renditionInWords(live.rendition)}</p>
      )}
      {live !== undefined && enabled && fareOf(live).map((words) => <p key={words}>{words}</p>)}
      {live?.backup !== undefined && live.backup !== null && enabled && <BackupLine backup={live.backup} />}
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
          onDone={(streamKey) => {
            changingKey.value = false;
            if (streamKey !== undefined) void perform(session.roster.change(row.id, { streamKey }));
          }}
        />
      )}
      <More
        row={row}
        name={name}
        busy={busy.value}
        perform={perform}
        onKey={() => (changingKey.value = true)}
      />
    </li>
  );
}

/** What is seldom needed. */
function More(props: {
  row: Row;
  name: string;
  busy: boolean;
  perform: Perform;
  onKey: () => void;
}): JSX.Element {
  const { session } = useDesk();
  const blackBox = useSignal<"" | "main" | "backup">("");
  const { row, busy, perform } = props;
  const { draft, live } = row;
  const broadcast = session.broadcast.value?.id;
  const paused = live?.paused ?? false;
  const afterCut: AfterCut = live?.afterCut ?? draft?.afterCut ?? "jump";
  return (
    <details class="more">
      <summary>
        More<span class="visually-hidden"> for {props.name}</span>
      </summary>
      <div class="more-body">
        {live !== undefined && broadcast !== undefined && (
          <div class="actions">
            {live.paused !== undefined && (
              <button
                type="button"
                class="button button-small"
                disabled={busy}
                onClick={() => void perform(session.roster.change(row.id, { paused: !paused }))}
              >
                <Icon name={paused ? "play" : "pause"} /> {paused ? "Resume" : "Pause"}
              </button>
            )}
            <button type="button" class="button button-small" onClick={() => (blackBox.value = "main")}>
              <Icon name="record" /> Black box
            </button>
            {live.backup !== undefined && live.backup !== null && (
              <button type="button" class="button button-small" onClick={() => (blackBox.value = "backup")}>
                <Icon name="record" /> Backup's black box
              </button>
            )}
            {draft?.platform !== "local" && (
              <button type="button" class="button button-small" onClick={props.onKey}>
                <Icon name="key" /> Key
              </button>
            )}
          </div>
        )}
        <AfterCutSelect
          id={`after-cut-${row.id}`}
          value={afterCut}
          disabled={busy}
          onChange={(value) => void perform(session.roster.change(row.id, { afterCut: value }))}
        />
        <RequiredSwitch
          id={`required-${row.id}`}
          on={live?.required ?? draft?.required ?? false}
          disabled={busy}
          onChange={(required) => void perform(session.roster.change(row.id, { required }))}
        />
      </div>
      {blackBox.value !== "" && broadcast !== undefined && (
        <BlackBoxDialog
          broadcast={broadcast}
          destination={row.id}
          name={blackBox.value === "backup" ? `${props.name}, backup` : props.name}
          backup={blackBox.value === "backup"}
          onClose={() => (blackBox.value = "")}
        />
      )}
    </details>
  );
}

function StateBadge({ live, enabled }: { live: Destination | undefined; enabled: boolean }): JSX.Element {
  const state = enabled ? live?.state : "stopped";
  if (state === undefined) return <span class="badge">Ready</span>;
  if (state === "live" && live?.paused) return <span class="badge badge-retrying">Paused</span>;
  return <span class={`badge badge-${state}`}>{STATE_WORDS[state]}</span>;
}

function Figures({ live }: { live: Destination }): JSX.Element {
  // A hosted provider does not tell what it sends.
  const parts = typeof live.bitrateKbps === "number" ? [bitrate(live.bitrateKbps)] : [];
  const since = Date.parse(live.since ?? "");
  if (live.state === "live" && Number.isFinite(since)) parts.push(`for ${clock(Date.now() - since)}`);
  if ((live.reconnects ?? 0) > 0) parts.push(counted(live.reconnects ?? 0, "reconnect"));
  if ((live.framesDropped ?? 0) > 0) parts.push(`${counted(live.framesDropped ?? 0, "frame")} dropped`);
  return <p class="destination-figures">{parts.join(" · ")}</p>;
}

/** The second server of a destination that is sent to two at once. */
function BackupLine({ backup }: { backup: NonNullable<Destination["backup"]> }): JSX.Element {
  const failure = backup.state === "live" ? undefined : backup.lastError;
  return (
    <div class="destination-backup">
      <p class="destination-figures">
        <b>Backup</b> · {STATE_WORDS[backup.state]} · {bitrate(backup.bitrateKbps ?? 0)}
      </p>
      <p class="destination-server">{backup.server}</p>
      {failure !== undefined && failure !== null && (
        <p class="destination-problem">{failureInWords(failure)}</p>
      )}
    </div>
  );
}
