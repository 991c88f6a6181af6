/** Where the broadcast goes, and how each destination fares. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useDesk } from "./context.ts";
import { DestinationForm } from "./destination-form.tsx";
import { DestinationRow, type Row } from "./destination-row.tsx";
import { bitrate } from "./format.ts";
import { Icon } from "./icons.tsx";

export function Destinations(): JSX.Element {
  const { session } = useDesk();
  const adding = useSignal(false);
  const broadcast = session.broadcast.value;
  const live = broadcast?.destinations ?? [];
  const drafts = session.roster.drafts.value;
  const limit = broadcast?.ingest?.bitrateLimitKbps;
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
      {typeof limit === "number" && (
        <p class="limit" role="status">
          A destination that the show needs cannot keep up, so the picture is limited to {bitrate(limit)}.
        </p>
      )}
      <ul class="destinations">
        {rows.map((row) => (
          <DestinationRow key={row.id} row={row} />
        ))}
      </ul>
    </section>
  );
}
