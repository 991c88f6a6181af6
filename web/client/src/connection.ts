/** Waiting for what a peer connection does, and reading what it has received. */

import { CastgateError } from "./errors.ts";

/** Resolves once the connection is up. */
export function connected(
  connection: RTCPeerConnection,
  signal: AbortSignal,
  patienceMs: number,
): Promise<void> {
  return when(connection, signal, patienceMs, () => {
    const up = connection.connectionState === "connected";
    return up && ["connected", "completed"].includes(connection.iceConnectionState);
  });
}

/** All that the connection has received, in bytes; `undefined` where the browser does not tell. */
export async function heardBytes(connection: RTCPeerConnection): Promise<number | undefined> {
  const stats = await connection.getStats().catch(() => new Map());
  const report = stats as unknown as ReadonlyMap<string, Record<string, unknown>>;
  const sum = (type: string, ...names: string[]): number | undefined => {
    const figures = [...report.values()]
      .filter((entry) => entry.type === type)
      .flatMap((entry) => names.map((name) => entry[name]).filter((each) => typeof each === "number"));
    return figures.length === 0 ? undefined : figures.reduce((all, each) => all + each, 0);
  };
  // Answers to connectivity checks are no bytes of the transport, but they are signs of life.
  const pairs = sum("candidate-pair", "bytesReceived", "responsesReceived");
  return pairs ?? sum("transport", "bytesReceived");
}

/** Resolves at the next change of the connection's state, or when the other promise does. */
export function changed(connection: RTCPeerConnection, until: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      connection.removeEventListener("connectionstatechange", done);
      resolve();
    };
    connection.addEventListener("connectionstatechange", done);
    until.then(done, done);
  });
}

/** A signal that also says no when an answer takes too long; what has been answered lifts the limit. */
export function withLimit(
  signal: AbortSignal,
  milliseconds: number,
): { signal: AbortSignal; lift: () => void } {
  const limited = new AbortController();
  const stop = (): void => limited.abort(signal.reason);
  const timer = setTimeout(
    () => limited.abort(new CastgateError("network_failed", "the gateway does not answer", 0)),
    milliseconds,
  );
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return {
    signal: limited.signal,
    lift: () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    },
  };
}

function when(
  connection: RTCPeerConnection,
  signal: AbortSignal,
  patienceMs: number,
  condition: () => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const names = ["connectionstatechange", "iceconnectionstatechange"];
    const done = (finish: () => void): void => {
      clearTimeout(timer);
      for (const name of names) connection.removeEventListener(name, check);
      signal.removeEventListener("abort", stop);
      finish();
    };
    const check = (): void => {
      if (condition()) done(resolve);
    };
    const stop = (): void => done(() => reject(signal.reason));
    const late = (): void =>
      done(() =>
        reject(new CastgateError("connect_timeout", "the connection to the gateway did not come up", 0)),
      );
    const timer = setTimeout(late, patienceMs);
    for (const name of names) connection.addEventListener(name, check);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    else check();
  });
}
