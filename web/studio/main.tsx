/** Puts the studio together and starts it. */

import "./styles/tokens.css";
import "./styles/layout.css";
import "./styles/controls.css";
import "./styles/panels.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { automation } from "./automation.ts";
import { readParameters } from "./broadcast/parameters.ts";
import { Session } from "./broadcast/session.ts";
import { keepScreenOn } from "./screen.ts";
import { Studio } from "./studio.ts";
import { App } from "./ui/app.tsx";
import { DeskContext } from "./ui/context.ts";

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
  document.title = session.isOnAir.value ? "On air · Castgate Studio" : "Castgate Studio";
});
effect(() => keepScreenOn(session.isOnAir.value));

void begin();

async function begin(): Promise<void> {
  studio.start();
  session.takeAddresses(parameters.destinations.filter((each) => each !== "local"));
  // A device that is refused leaves the test picture, so that the programme is never empty.
  const shown = studio.show("main", parameters.source).then((ok) => ok || studio.show("main", "test"));
  await Promise.all([shown, session.prepare()]);
  if (!parameters.goLive) return;
  const interrupted = session.interrupted.value;
  const start =
    interrupted === undefined ? session.goLive(studio.programme()) : session.resume(studio.programme());
  await start.catch(() => undefined);
}

/** Takes keys and tokens out of the address bar and the history. */
function hideSecrets(): void {
  const query = new URLSearchParams(location.search);
  query.delete("destination");
  const rest = query.size === 0 ? "" : `?${query}`;
  history.replaceState(null, "", `${location.pathname}${rest}`);
}
