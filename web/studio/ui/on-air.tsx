/** What viewers see when it is not the studio, and for how long that goes on. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { endsAtMs, goingOut, isNoticed } from "../broadcast/going-out.ts";
import { useDesk } from "./context.ts";
import { clock } from "./format.ts";
import { Icon } from "./icons.tsx";

export function AwayNotice(): JSX.Element | null {
  const { session } = useDesk();
  const phase = session.phase.value;
  const out = goingOut(phase, session.broadcast.value);
  if (out === undefined || !isNoticed(out)) return null;
  const endsAt = endsAtMs(phase, session.broadcast.value, session.awaySince.value);
  return (
    <div class="notice notice-away">
      <Icon name="broadcast" />
      <p>
        <b>{out.text}</b> {phase === "reconnecting" && session.trouble.value}
      </p>
      {endsAt !== undefined && <Countdown endsAtMs={endsAt} />}
      {session.publisherState.value === "reconnecting" && (
        <button type="button" class="button" onClick={() => session.tryNow()}>
          Try now
        </button>
      )}
    </div>
  );
}

/** Not announced: nobody wants to hear each second. */
function Countdown({ endsAtMs: end }: { endsAtMs: number }): JSX.Element {
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => (now.value = Date.now()), 500);
    return () => clearInterval(timer);
  }, [now]);
  return (
    <p class="countdown">
      The broadcast ends in <span class="figures-font">{clock(end - now.value)}</span>
    </p>
  );
}
