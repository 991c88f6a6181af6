/** Growing pauses with full jitter, so that many studios do not come back at the same instant. */
export class Backoff {
    #firstMs;
    #longestMs;
    #random;
    #attempts = 0;
    constructor(options = {}) {
        this.#firstMs = options.firstMs ?? 500;
        this.#longestMs = options.longestMs ?? 10_000;
        this.#random = options.random ?? Math.random;
    }
    /** Pauses asked for since the last {@link reset}. */
    get attempts() {
        return this.#attempts;
    }
    /** The next pause in milliseconds: between a tenth and all of a span that doubles each time. */
    nextMs() {
        const span = Math.min(this.#longestMs, this.#firstMs * 2 ** Math.min(this.#attempts, 30));
        this.#attempts += 1;
        return span * (0.1 + 0.9 * this.#random());
    }
    /** To be called when things work again. */
    reset() {
        this.#attempts = 0;
    }
}
/** Waits, and rejects with the signal's reason when it is aborted meanwhile. */
export function pause(milliseconds, signal) {
    return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const stop = () => {
            clearTimeout(timer);
            reject(signal?.reason);
        };
        const timer = setTimeout(() => {
            signal?.removeEventListener("abort", stop);
            resolve();
        }, milliseconds);
        signal?.addEventListener("abort", stop, { once: true });
    });
}
//# sourceMappingURL=backoff.js.map