/** Waiting that goes on at its full pace while the page is hidden. */

let worker: Worker | undefined;
let last = 0;
const sleeping = new Map<number, () => void>();

/** Waits, and rejects with the signal's reason when it is aborted meanwhile. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    last += 1;
    const id = last;
    const stop = (): void => {
      sleeping.delete(id);
      reject(signal?.reason);
    };
    sleeping.set(id, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    signal?.addEventListener("abort", stop, { once: true });
    worker ??= start();
    worker.postMessage({ id, milliseconds });
  });
}

function start(): Worker {
  const made = new Worker(new URL("./sleep.worker.ts", import.meta.url), { type: "module" });
  made.onmessage = ({ data }: MessageEvent<number>) => {
    sleeping.get(data)?.();
    sleeping.delete(data);
  };
  return made;
}
