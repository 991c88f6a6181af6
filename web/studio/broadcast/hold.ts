/** One tab at a time holds a broadcast: a duplicated tab remembers it too, and must not take it from the first. */

/** How long a reloaded page waits for its former self to let go, in milliseconds. */
const HANDOVER_MS = 1_500;

/**
 * Takes hold of a broadcast until the returned function is called or the page is gone.
 *
 * `undefined`: another tab of this browser has it. Browsers without locks (pages that came neither over
 * HTTPS nor from this computer) hold everything.
 */
export async function holdBroadcast(id: string): Promise<(() => void) | undefined> {
  if (navigator.locks === undefined) return () => undefined;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  return new Promise((resolve) => {
    const waiting = AbortSignal.timeout(HANDOVER_MS);
    navigator.locks
      .request(`castgate.${id}`, { signal: waiting }, () => {
        resolve(release);
        return released;
      })
      .catch(() => resolve(undefined));
  });
}
