/** What the studio says to its user: states and failures in plain words. */

import {
  CastgateError,
  type DestinationFailure,
  type DestinationState,
  type Ending,
  type ProbeResult,
} from "@castgate/client";

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
  resume_token_refused: "Another studio has taken over this broadcast.",
  no_such_broadcast: "There is no such broadcast any more.",
  invalid_slate: "This file cannot be shown as a slate. The old one stays.",
  invalid_music: "This file cannot be played. What was there stays.",
  slate_too_large: "The file is larger than 20 MB. What was there stays.",
  forbidden_address: "This gateway may not send to that address.",
  too_many_requests: "The gateway has been asked too often. Wait a minute.",
  connect_timeout: "No media connection to the gateway came up. A firewall may block UDP.",
};

/** What the browser's slowing of this page means for the viewers. */
export function paceInWords(framesPerSecond: number, hidden: boolean): string {
  const rate = framesPerSecond < 1.5 ? "about one picture" : `about ${Math.round(framesPerSecond)} pictures`;
  return hidden
    ? `The browser slows this page down while it is hidden: viewers get ${rate} per second. Give the studio a window of its own and leave it in sight.`
    : `This computer is too busy: viewers get ${rate} per second. Close other programs, or choose a smaller size.`;
}

/** One sentence on why a call failed. */
export function errorInWords(error: unknown): string {
  if (error instanceof CastgateError) {
    const words = ERROR_WORDS[error.code] ?? sentence(error.message);
    return error.field === undefined || words.includes(error.field) ? words : `${words} (${error.field})`;
  }
  return sentence(error instanceof Error ? error.message : String(error));
}

/** One sentence on why a studio does not come back by itself. */
export function endingInWords(ending: Ending | undefined, cause: unknown): string {
  if (ending === "taken_over") {
    return "Another studio has taken over this broadcast. This one no longer sends.";
  }
  if (ending === "ended") return "The broadcast has ended meanwhile.";
  return `The broadcast was interrupted. ${errorInWords(cause)}`;
}

const STEP_WORDS: Readonly<Record<string, string>> = {
  address: "Address",
  dns: "Name of the server",
  connect: "Connection",
  tls: "Encryption",
  handshake: "RTMP greeting",
  connectReply: "Application",
  createStream: "Stream",
  publish: "Publishing",
};

/** What a step of a dry run is called. */
export function stepInWords(step: string): string {
  return STEP_WORDS[step] ?? spaced(step);
}

const EVENT_WORDS: Readonly<Record<string, string>> = {
  dns: "Name looked up",
  connect: "Connected",
  tls: "Encrypted",
  handshake: "RTMP greeting done",
  connectReply: "Application answered",
  createStream: "Stream offered",
  publish: "Publishing answered",
  live: "Live",
  catchingUp: "Sends what was missed",
  caughtUp: "Has caught up",
  jumped: "Pictures left out",
  paused: "Paused",
  resumed: "Show sent again",
  stalled: "Stopped taking data",
  refused: "Refused",
  lost: "Connection lost",
  closed: "Closed",
};

/** What an event of a black box is called. */
export function eventInWords(what: string): string {
  return EVENT_WORDS[what] ?? spaced(what);
}

function spaced(name: string): string {
  const words = name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ");
  return sentence(words.toLowerCase()).replace(/\.$/, "");
}

/** One sentence on what a dry run found. */
export function probeInWords(result: ProbeResult): string {
  if (result.ok) {
    return result.steps?.some(({ step }) => step === "publish")
      ? "It works: the server takes the stream."
      : "The server answers and takes streams. Whether the key is right shows only when it goes live.";
  }
  return FAILURE_WORDS[result.code ?? ""] ?? sentence(result.message || "The test failed");
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
