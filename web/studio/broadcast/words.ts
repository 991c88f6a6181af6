/** What the studio says to its user: states and failures in plain words. */

import { CastgateError, type DestinationFailure, type DestinationState } from "@castgate/client";

export const STATE_WORDS: Readonly<Record<DestinationState, string>> = {
  pending: "Waiting for the picture",
  connecting: "Connecting",
  live: "Live",
  retrying: "Trying again",
  failed: "Failed",
  stopped: "Off",
};

const FAILURE_WORDS: Readonly<Record<string, string>> = {
  dns_failed: "The server's name is not known. Check the address.",
  connect_refused: "Nothing accepts connections at this address.",
  connect_timeout: "The server does not answer.",
  tls_failed: "The encrypted connection failed. Check whether the address should start with rtmp:// instead.",
  handshake_failed: "The server does not speak RTMP.",
  app_refused: "The server refused the application. Check the last part of the address.",
  key_refused: "The platform refused the stream key. Copy it again and change it here.",
  publish_refused: "The server refused the stream. Is the same key in use already?",
  write_stalled: "The server stopped taking data.",
  closed_by_peer: "The server closed the connection.",
  forbidden_address: "This gateway may not send to that address.",
  unsupported_codec: "The picture's format cannot be sent there.",
  engine_failed: "The gateway's media engine failed.",
};

/** One sentence on why a destination was lost. */
export function failureInWords(failure: DestinationFailure): string {
  return FAILURE_WORDS[failure.code] ?? sentence(failure.message);
}

const ERROR_WORDS: Readonly<Record<string, string>> = {
  network_failed: "The gateway cannot be reached.",
  unauthorized: "The gateway asks for a token.",
  token_missing: "The gateway asks for a token.",
  studio_present: "Another studio is live in this broadcast.",
  too_many_requests: "The gateway has been asked too often. Wait a minute.",
  connect_timeout: "No media connection to the gateway came up. A firewall may block UDP.",
};

/** One sentence on why a call failed. */
export function errorInWords(error: unknown): string {
  if (error instanceof CastgateError) {
    const words = ERROR_WORDS[error.code] ?? sentence(error.message);
    return error.field === undefined || words.includes(error.field) ? words : `${words} (${error.field})`;
  }
  return sentence(error instanceof Error ? error.message : String(error));
}

const DEVICE_WORDS: Readonly<Record<string, string>> = {
  NotAllowedError: "was not allowed. Allow it in the browser's address bar and try again.",
  NotFoundError: "was not found on this computer.",
  NotReadableError: "is in use by another program.",
  OverconstrainedError: "cannot give this size.",
};

/** One sentence on why a camera, screen or microphone cannot be had. */
export function deviceErrorInWords(device: string, error: unknown): string {
  const name = error instanceof DOMException ? error.name : "";
  return `${device} ${DEVICE_WORDS[name] ?? "could not be opened."}`;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  const first = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
