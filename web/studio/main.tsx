/** Puts the studio together and starts it. */

import "./styles/tokens.css";
import "./styles/layout.css";
import "./styles/controls.css";
import "./styles/panels.css";
import "./styles/continuity.css";
import "./styles/monitor.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { automation } from "./automation.ts";
import type { Memory } from "./broadcast/memory.ts";
import { readParameters } from "./broadcast/parameters.ts";
import { Session } from "./broadcast/session.ts";
import { sleep } from "./broadcast/sleep.ts";
import { keepScreenOn } from "./screen.ts";
import { Studio } from "./studio.ts";
import { App } from "./ui/app.tsx";
import { DeskContext } from "./ui/context.ts";

/** How long the scene may take to come back before the show goes on with what is there, in milliseconds. */
const RESTORE_PATIENCE_MS = 1_500;

const parameters = readParameters(location.search, location.hash);
if (parameters.token !== undefined || parameters.destinations.length > 0) hideSecrets();

const studio = new Studio(parameters);
const session = new Session({
  ...(parameters.broadcast === undefined ? {} : { broadcast: parameters.broadcast }),
  ...(parameters.token === undefined ? {} : { token: parameters.token }),
  useLocalReceiver: parameters.destinations.length === 0 || parameters.destinations.includes("local"),
});
window.castgate = automation(studio, session);

const page = document.getElementById("app");
if (page !== null) {
  render(
    <DeskContext.Provider value={{ studio, session }}>
      <App />
    </DeskContext.Provider>,
    page,
  );
}

for (const gesture of ["pointerdown", "keydown"]) {
  addEventListener(gesture, () => studio.wake(), { passive: true });
}
addEventListener("beforeunload", (event) => {
  if (session.phase.value !== "offline") event.preventDefault();
});

effect(() => {
  document.title = `${session.isOnAir.value ? onAirInWords() : ""}Castgate Studio`;
});
effect(() => keepScreenOn(session.isOnAir.value));
effect(() => {
  const scene = studio.scene.value;
  if (session.isOnAir.peek()) session.rememberScene(scene);
});

void begin();

/** A host who looks at another tab sees only the title. */
function onAirInWords(): string {
  if (session.phase.value === "reconnecting") return "Reconnecting · ";
  return studio.slowedTo.value === undefined ? "On air · " : "Picture stutters · ";
}

async function begin(): Promise<void> {
  studio.start();
  const memory = session.recall();
  if (memory !== undefined) {
    await comeBack(memory);
    return;
  }
  session.roster.takeAddresses(parameters.destinations.filter((each) => each !== "local"));
  // A device that is refused leaves the test picture, so that the programme is never empty.
  const shown = studio.show("main", parameters.source).then((ok) => ok || studio.show("main", "test"));
  await Promise.all([shown, session.prepare()]);
  if (parameters.goLive) await session.goLive(studio.programme()).catch(() => undefined);
}

/** Takes the broadcast over that this window sent before it was reloaded: no click, no question. */
async function comeBack(memory: Memory): Promise<void> {
  // What there is to do stands at the top, wherever the page was scrolled to.
  history.scrollRestoration = "manual";
  const restored = memory.scene === undefined ? studio.show("main", "test") : studio.restore(memory.scene);
  // Cameras that come back without a question come back at once; the show does not wait for others.
  await Promise.race([restored, sleep(RESTORE_PATIENCE_MS)]);
  const resumed = session.resume(studio.programme()).catch(() => undefined);
  await session.prepare();
  await resumed;
}

/** Takes keys and tokens out of the address bar and the history. */
function hideSecrets(): void {
  const query = new URLSearchParams(location.search);
  query.delete("destination");
  const rest = query.size === 0 ? "" : `?${query}`;
  history.replaceState(null, "", `${location.pathname}${rest}`);
}
