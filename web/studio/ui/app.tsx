/** The page as a whole. */

import type { JSX } from "preact";
import { Destinations } from "./destinations.tsx";
import { GatewayPanel } from "./gateway.tsx";
import { Header } from "./header.tsx";
import { Notices } from "./notices.tsx";
import { Programme } from "./programme.tsx";
import { ReceiverPicture } from "./receiver.tsx";
import { ScenePanel } from "./scene.tsx";
import { SlatePanel } from "./slate.tsx";
import { SoundPanel } from "./sound.tsx";
import { Uplink } from "./uplink.tsx";

export function App(): JSX.Element {
  return (
    <>
      <Header />
      <main>
        <Notices />
        <div class="desk">
          <div class="desk-programme">
            <Programme />
          </div>
          <div class="desk-side">
            <Destinations />
            <GatewayPanel />
            <ReceiverPicture />
            <Uplink />
          </div>
          <div class="desk-controls">
            <ScenePanel />
            <div class="desk-stack">
              <SoundPanel />
              <SlatePanel />
            </div>
          </div>
        </div>
      </main>
    </>
  );
}
