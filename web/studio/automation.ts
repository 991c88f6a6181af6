/** `window.castgate`: what scripts and tests see and steer of the studio. */

import type { Alarm, Broadcast, Showing, UplinkStatistics, ViewerStatistics } from "@castgate/client";
import { showingOf } from "./broadcast/going-out.ts";
import type { Entry } from "./broadcast/journal.ts";
import type { Session } from "./broadcast/session.ts";
import type { CompositorStatistics } from "./compositor/compositor.ts";
import type { Flash } from "./compositor/flash-pattern.ts";
import type { Size } from "./compositor/layout.ts";
import type { Studio } from "./studio.ts";

export interface StudioState {
  phase: string;
  publisher: string;
  /** In words; empty when all is well. */
  error: string;
  /** Whether sound waits for a click or a key. */
  silent: boolean;
  broadcast: Broadcast | null;
  destinations: { id: string; platform: string; enabled: boolean }[];
  liveSince: number | null;
  /** What goes out now, as the gateway last said; `null` without a broadcast. */
  showing: Showing | null;
  alarms: Alarm[];
  /** Why the uplink is being made anew, in words; empty when all is well. */
  trouble: string;
  /** Pictures of the scene that wait for a click. */
  missing: string[];
}

export interface StudioStatistics {
  /** Milliseconds of the page's clock. */
  at: number;
  canvas: CompositorStatistics & Size;
  uplink: UplinkStatistics | null;
  audio: { state: string; sampleRate: number; levels: [number, number] };
  flashes: Flash[];
  reconnects: number;
}

export interface Automation {
  state(): StudioState;
  stats(): Promise<StudioStatistics>;
  goLive(): Promise<StudioState>;
  stop(): Promise<void>;
  /** What happened, with its time: the last 200 entries since the page was loaded. */
  journal(): Entry[];
  /** Gives the canvas another size, also while on air. */
  resize(size: Size): void;
  /** Watches what the gateway receives, and tells what the browser says of it; `null` while nothing has come. */
  monitor(): Promise<ViewerStatistics | null>;
  /** Looks at the uplink at once, and tries again at once where it is lost. */
  check(): void;
}

declare global {
  interface Window {
    castgate: Automation;
  }
}

export function automation(studio: Studio, session: Session): Automation {
  const state = (): StudioState => ({
    phase: session.phase.value,
    publisher: session.publisherState.value,
    error: session.error.value,
    silent: studio.silent.value,
    broadcast: session.broadcast.value ?? null,
    destinations: session.roster.drafts.value.map(({ id, platform, enabled }) => ({ id, platform, enabled })),
    liveSince: session.liveSince.value ?? null,
    showing: session.broadcast.value === undefined ? null : showingOf(session.broadcast.value),
    alarms: [...session.alarms.value],
    trouble: session.trouble.value,
    missing: [...studio.missing.value],
  });
  return {
    state,
    async stats() {
      const uplink = await session.measure();
      return {
        at: performance.now(),
        canvas: { ...studio.compositor.statistics(), ...studio.compositor.size },
        uplink: uplink ?? null,
        audio: {
          state: studio.mixer.context.state,
          sampleRate: studio.mixer.context.sampleRate,
          levels: studio.mixer.levels(),
        },
        flashes: [...studio.flashes],
        reconnects: session.reconnects.value,
      };
    },
    async goLive() {
      studio.wake();
      await session.goLive(studio.programme());
      return state();
    },
    stop: () => session.stop(),
    journal: () => [...session.journal.entries],
    resize(size) {
      studio.size.value = size;
    },
    async monitor() {
      session.monitor.watch();
      return (await session.monitor.statistics()) ?? null;
    },
    check: () => session.tryNow(),
  };
}
