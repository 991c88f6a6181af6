/** What is wrong with what the studio sends, in words; each goes when it has passed. */

import type { JSX } from "preact";
import { goingOut } from "../broadcast/going-out.ts";
import { paceInWords } from "../broadcast/words.ts";
import { type Desk, useDesk } from "./context.ts";
import { Icon } from "./icons.tsx";

export function Alarms(): JSX.Element {
  return (
    <>
      {warningsOf(useDesk()).map(({ code, words }) => (
        <div key={code} class="notice notice-warning">
          <Icon name="warning" />
          <p>{words}</p>
        </div>
      ))}
    </>
  );
}

/**
 * Tells those who hear the page what viewers see and what is wrong.
 *
 * Always in the page: a live region that appears together with its words is often not read out.
 */
export function Announcer(): JSX.Element {
  const desk = useDesk();
  const { session } = desk;
  const out = goingOut(session.phase.value, session.broadcast.value);
  return (
    <div class="visually-hidden" aria-live="polite">
      {out !== undefined && <p key="out">{out.text}</p>}
      {warningsOf(desk).map(({ code, words }) => (
        <p key={code}>{words}</p>
      ))}
    </div>
  );
}

function warningsOf({ studio, session }: Desk): { code: string; words: string }[] {
  // While the uplink is lost, that is the one thing to know.
  if (session.phase.value !== "live") return [];
  const pace = studio.slowedTo.value;
  // The page knows better than the gateway why there are too few pictures, or no sound.
  const explained = [
    ...(pace === undefined ? [] : ["frame_rate_collapsed"]),
    ...(studio.silent.value ? ["sound_silent"] : []),
  ];
  const alarms = session.alarms.value.filter(({ code }) => !explained.includes(code));
  return [
    ...(pace === undefined ? [] : [{ code: "pace", words: paceInWords(pace.framesPerSecond, pace.hidden) }]),
    ...alarms.map(({ code, message }) => ({ code, words: message })),
  ];
}
