/** What often breaks connections, as the browser tells it. */

type Listened = Pick<EventTarget, "addEventListener" | "removeEventListener">;

/**
 * Calls when the network has changed, when the page is looked at again, and when it wakes from sleep.
 *
 * Returns what stops that. Does nothing where there is no page.
 */
export function watchForTrouble(onHint: () => void): () => void {
  const { document: page, navigator: browser } = globalThis;
  const places: [Listened | undefined, string, () => void][] = [
    [globalThis.window, "online", onHint],
    [globalThis.window, "pageshow", onHint],
    [
      page,
      "visibilitychange",
      () => {
        if (!page.hidden) onHint();
      },
    ],
    // Chromium stops hidden pages at times, and lets them go on with this event.
    [page, "resume", onHint],
    [(browser as (Navigator & { connection?: EventTarget }) | undefined)?.connection, "change", onHint],
  ];
  for (const [place, name, listener] of places) place?.addEventListener(name, listener);
  return () => {
    for (const [place, name, listener] of places) place?.removeEventListener(name, listener);
  };
}
