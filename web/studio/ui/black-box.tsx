/** The last minute of a destination, and what happened to it. */

import type { BlackBox, BlackBoxEvent } from "@castgate/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { errorInWords, eventInWords } from "../broadcast/words.ts";
import { useDesk } from "./context.ts";
import { bitrate, duration, figure, timeOfDay } from "./format.ts";
import { Icon } from "./icons.tsx";
import { Sparkline } from "./sparkline.tsx";

/** How often it is read while it is looked at, in milliseconds. */
const READ_MS = 2_000;

/** How long a saved file stays in memory, in milliseconds. */
const SAVED_MS = 60_000;

export function BlackBoxDialog(props: {
  broadcast: string;
  destination: string;
  name: string;
  /** Whether it is that of the backup server beside the main one. */
  backup?: boolean;
  onClose: () => void;
}): JSX.Element {
  const { session } = useDesk();
  const dialog = useRef<HTMLDialogElement>(null);
  const record = useSignal<BlackBox | undefined>(undefined);
  const problem = useSignal("");
  const { broadcast, destination, backup = false } = props;

  useEffect(() => {
    dialog.current?.showModal();
    const read = async (): Promise<void> => {
      try {
        record.value = await session.api.blackBox(broadcast, destination, { backup });
        problem.value = "";
      } catch (error) {
        problem.value = errorInWords(error);
      }
    };
    void read();
    const timer = setInterval(() => void read(), READ_MS);
    return () => clearInterval(timer);
  }, [session, broadcast, destination, backup, record, problem]);

  const save = async (): Promise<void> => {
    try {
      const { name, file } = await session.api.downloadBlackBox(broadcast, destination, { backup });
      const address = URL.createObjectURL(file);
      const link = document.createElement("a");
      link.href = address;
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), SAVED_MS);
    } catch (error) {
      problem.value = errorInWords(error);
    }
  };

  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="black-box-heading" onClose={props.onClose}>
      <div class="panel-head">
        <h2 id="black-box-heading">Black box: {props.name}</h2>
        <button
          type="button"
          class="button button-icon"
          aria-label="Close the black box"
          onClick={() => dialog.current?.close()}
        >
          <Icon name="remove" />
        </button>
      </div>
      <p class="hint">The last minute, and the last things that happened. It holds no stream key.</p>
      {problem.value !== "" && (
        <p class="destination-problem" role="alert">
          {problem.value}
        </p>
      )}
      {record.value !== undefined && <Record record={record.value} />}
      <div class="actions">
        <button type="button" class="button" onClick={() => void save()}>
          Save as a file
        </button>
      </div>
    </dialog>
  );
}

function Record({ record }: { record: BlackBox }): JSX.Element {
  const { samples, events } = record;
  const last = samples.at(-1);
  const rows: [string, string][] = [
    ["Round trip", figure(last?.roundTripMs, "ms")],
    ["Not acknowledged", figure(kilobytes(last?.unacknowledgedBytes), "KB")],
    ["Sent again", figure(last?.retransmits, "segments")],
    ["Frames dropped", figure(last?.framesDropped)],
  ];
  return (
    <>
      {samples.length === 0 ? (
        <p>Nothing has been sent yet.</p>
      ) : (
        <>
          <div class="sparklines">
            <Sparkline
              label="Bitrate"
              now={bitrate(last?.bitrateKbps)}
              values={samples.map((each) => each.bitrateKbps)}
              format={bitrate}
            />
            <Sparkline
              label="Server is behind"
              now={duration(last?.queueMs)}
              values={samples.map((each) => each.queueMs)}
              format={duration}
            />
          </div>
          <dl class="figures figures-wide">
            {rows.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      <h3>What happened</h3>
      {events.length === 0 ? (
        <p class="hint">Nothing yet.</p>
      ) : (
        <ol class="happenings">
          {events.toReversed().map((event, index) => (
            <Happening key={`${event.at}-${event.what}-${events.length - index}`} event={event} />
          ))}
        </ol>
      )}
    </>
  );
}

function Happening({ event }: { event: BlackBoxEvent }): JSX.Element {
  const { at, what, elapsedMs, words } = event;
  return (
    <li>
      <time dateTime={at ?? ""}>{timeOfDay(at ?? "")}</time>
      <span>
        {eventInWords(what)}
        {typeof elapsedMs === "number" && <span class="hint"> after {duration(elapsedMs)}</span>}
        {words !== undefined && words !== null && words !== "" && (
          <span class="happening-detail">{words}</span>
        )}
      </span>
    </li>
  );
}

function kilobytes(bytes: number | null | undefined): number | undefined {
  return bytes === null || bytes === undefined ? undefined : bytes / 1000;
}
