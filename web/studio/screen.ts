/** Keeps the screen on while on air: a computer that falls asleep ends the show. */

let wanted = false;
let lock: WakeLockSentinel | undefined;

export function keepScreenOn(on: boolean): void {
  wanted = on;
  void apply();
}

// Browsers give the lock back when the tab is hidden.
document.addEventListener("visibilitychange", () => void apply());

async function apply(): Promise<void> {
  try {
    if (wanted && !document.hidden && (lock === undefined || lock.released)) {
      lock = await navigator.wakeLock?.request("screen");
    } else if (!wanted) {
      await lock?.release();
      lock = undefined;
    }
  } catch {
    // A low battery or a policy may forbid it; the show goes on.
  }
}
