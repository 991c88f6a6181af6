// What the pages of all dialects have in common beneath their words: one socket, its journal, and how their clients wait.

/** Longer than clients wait, and than a gateway takes to give up, for a machine that is busy: it tells what is never answered. */
const PATIENCE_MS = 30_000;

export class Signalling {
  /** What came from the server, oldest first. */
  journal = [];

  constructor(io, url, options) {
    this.socket = io(url, options);
    this.socket.onAny((name, ...content) => {
      this.journal.push({ at: performance.now(), name, content });
    });
  }

  /** Waits for the first connection; the server's refusal is thrown. */
  connected() {
    return new Promise((resolve, reject) => {
      this.socket.once("connect", resolve);
      this.socket.once("connect_error", reject);
    });
  }

  /** Emits with an acknowledgement, and throws the `error` in it. Events without content have no argument beside it. */
  request(name, ...content) {
    return withPatience(name, (resolve, reject) => {
      this.socket.emit(name, ...content, (answer) => {
        if (answer?.error)
          reject(new Error(typeof answer.error === "string" ? answer.error : JSON.stringify(answer.error)));
        else resolve(answer);
      });
    });
  }

  /** Emits, and then waits for the next event of another name, as clients with `once` do. */
  exchange(name, content, answer) {
    return withPatience(`${name}, ${answer}`, (resolve, reject) => {
      this.socket.emit(name, content);
      this.socket.once(answer, resolve);
      this.socket.once("error", ({ message }) => reject(new Error(message)));
    });
  }

  /** The connection breaks below the socket, as when a network goes away; the socket comes back by itself. */
  async break() {
    const back = new Promise((resolve) => this.socket.once("connect", resolve));
    this.socket.io.engine.close();
    await back;
  }

  close() {
    this.socket.disconnect();
  }
}

function withPatience(what, begin) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer: ${what}`)), PATIENCE_MS);
    const settled = (settle) => (value) => {
      clearTimeout(timer);
      settle(value);
    };
    begin(settled(resolve), settled(reject));
  });
}

/** Answers one of mediasoup-client's events by a promise. */
export function answerBy(promise, callback, errback) {
  promise.then(callback, errback);
}
