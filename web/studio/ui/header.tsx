/** The bar with the broadcast's state and the one button that matters. */

import { useSignal, useSignalEffect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Phase } from "../broadcast/session.ts";
import { useDesk } from "./context.ts";
import { clock } from "./format.ts";
import { Icon } from "./icons.tsx";

const PHASE_WORDS: Readonly<Record<Phase, string>> = {
  offline: "Off air",
  starting: "Starting",
  live: "On air",
  reconnecting: "Reconnecting",
  stopping: "Ending",
};

export function Header(): JSX.Element {
  const { session } = useDesk();
  const phase = session.phase.value;
  return (
    <header class="header">
      <a class="brand" href="/" aria-label="Castgate Studio">
        <svg class="brand-mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
          <rect width="32" height="32" rx="8" />
          <path d="M9 22V13a7 7 0 0 1 14 0v9M16 22v-7" />
        </svg>
        <h1>
          Castgate <b>Studio</b>
        </h1>
      </a>
      <div class="header-state">
        <span class={`pill pill-${phase}`} role="status">
          {PHASE_WORDS[phase]}
        </span>
        <Elapsed />
      </div>
      <GoLiveButton />
    </header>
  );
}

function Elapsed(): JSX.Element | null {
  const { session } = useDesk();
  const now = useSignal(Date.now());
  useSignalEffect(() => {
    if (session.liveSince.value === undefined) return;
    now.value = Date.now();
    const timer = setInterval(() => {
      now.value = Date.now();
    }, 500);
    return () => clearInterval(timer);
  });
  const since = session.liveSince.value;
  return since === undefined ? null : <span class="elapsed">{clock(now.value - since)}</span>;
}

function GoLiveButton(): JSX.Element {
  const { studio, session } = useDesk();
  const phase = session.phase.value;
  const asking = useSignal(false);

  if (session.isOnAir.value || phase === "stopping") {
    return (
      <div class="header-action">
        {asking.value && phase !== "stopping" ? (
          <EndQuestion onAnswer={() => (asking.value = false)} />
        ) : (
          <button
            type="button"
            class="button button-danger"
            disabled={phase === "stopping"}
            onClick={() => (asking.value = true)}
          >
            <Icon name="stop" /> {phase === "stopping" ? "Ending…" : "End broadcast"}
          </button>
        )}
      </div>
    );
  }
  const interrupted = session.interrupted.value !== undefined;
  const goLive = (): void => {
    asking.value = false;
    studio.wake();
    const programme = studio.programme();
    const start = interrupted ? session.resume(programme) : session.goLive(programme);
    start.catch(() => undefined);
  };
  const words = interrupted ? "Resume broadcast" : "Go live";
  return (
    <div class="header-action">
      <button type="button" class="button button-primary" disabled={phase === "starting"} onClick={goLive}>
        <Icon name="broadcast" /> {phase === "starting" ? "Starting…" : words}
      </button>
    </div>
  );
}

/** Asks before the show is over. The harmless answer has the focus. */
function EndQuestion({ onAnswer }: { onAnswer: () => void }): JSX.Element {
  const { session } = useDesk();
  const stay = useRef<HTMLButtonElement>(null);
  useEffect(() => stay.current?.focus(), []);
  const end = (): void => {
    onAnswer();
    void session.stop();
  };
  return (
    <>
      <button type="button" class="button button-danger" onClick={end}>
        <Icon name="stop" /> End for everyone
      </button>
      <button type="button" class="button" ref={stay} onClick={onAnswer}>
        Stay on air
      </button>
    </>
  );
}
