/** What viewers see now, in words. Pure: time is an argument. */

import type { Broadcast, Showing } from "@castgate/client";
import type { Phase } from "./session.ts";

export interface GoingOut {
  tone: "studio" | "away" | "quiet";
  /** One word for the corner of the picture. */
  badge: string;
  /** One sentence. */
  text: string;
}

/** What goes out; where an older gateway does not say, its state tells most of it. */
export function showingOf(broadcast: Broadcast): Showing {
  if (broadcast.showing !== undefined) return broadcast.showing;
  if (broadcast.state === "live") return "studio";
  return broadcast.state === "slate" ? "slate" : "nothing";
}

/** `undefined` while there is nothing to say: off air. */
export function goingOut(phase: Phase, broadcast: Broadcast | undefined): GoingOut | undefined {
  if (phase === "offline" || phase === "starting" || phase === "stopping") return undefined;
  const standIn = broadcast?.slate?.enabled === false ? "the last picture" : "your slate";
  const showing = broadcast === undefined ? undefined : showingOf(broadcast);
  if (phase === "reconnecting") {
    // What is known of a gateway that cannot be reached is old: what it does meanwhile is not.
    const text =
      showing === "nothing"
        ? "Reconnecting — nothing goes out yet."
        : `Reconnecting — viewers see ${standIn}.`;
    return { tone: "away", badge: "Reconnecting", text };
  }
  switch (showing) {
    case "studio":
      return { tone: "studio", badge: "On air", text: "Viewers see your studio." };
    case "freeze":
      return { tone: "away", badge: "Frozen", text: "Viewers see your last picture, standing still." };
    case "slate":
      return { tone: "away", badge: "Slate", text: "Viewers see your slate until your picture arrives." };
    default:
      return { tone: "quiet", badge: "On air", text: "Nothing goes out yet." };
  }
}

/** Whether it deserves a notice: a freeze heals within two seconds or becomes the slate. */
export function isNoticed({ tone, badge }: GoingOut): boolean {
  return tone === "away" && badge !== "Frozen";
}

/**
 * When the broadcast ends unless the studio comes back; `undefined` when nothing stands in for it.
 *
 * A gateway that cannot be reached does not tell: then it is reckoned from when this page lost it.
 */
export function endsAtMs(
  phase: Phase,
  broadcast: Broadcast | undefined,
  awaySinceMs: number | undefined,
): number | undefined {
  const told = Date.parse(broadcast?.endsAt ?? "");
  if (Number.isFinite(told)) return told;
  const slate = broadcast?.slate;
  if (!slate?.enabled || awaySinceMs === undefined) return undefined;
  const away = phase === "reconnecting" || broadcast?.state === "slate";
  return away ? awaySinceMs + slate.maxMinutes * 60_000 : undefined;
}
