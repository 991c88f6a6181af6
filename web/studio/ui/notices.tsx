/** What the user should know or do now: errors, a missing token, sound that waits, a broadcast to resume. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Alarms, Announcer } from "./alarms.tsx";
import { useDesk } from "./context.ts";
import { Icon } from "./icons.tsx";
import { AwayNotice } from "./on-air.tsx";

export function Notices(): JSX.Element {
  const { studio, session } = useDesk();
  return (
    <div class="notices">
      <div role="alert">
        {session.error.value !== "" && (
          <Problem text={session.error.value} onClose={() => (session.error.value = "")} />
        )}
        {studio.deviceError.value !== "" && (
          <Problem text={studio.deviceError.value} onClose={() => (studio.deviceError.value = "")} />
        )}
      </div>
      <Announcer />
      <AwayNotice />
      {studio.missing.value.map((name) => (
        <Missing key={name} name={name} />
      ))}
      <Alarms />
      {session.interrupted.value !== undefined && <Interrupted />}
      {session.needsToken.value && <TokenForm />}
      {studio.silent.value && (
        <div class="notice">
          <Icon name="sound" />
          <p>
            {session.isOnAir.value
              ? "Your broadcast has no sound: the browser keeps the page silent until you click or press a key."
              : "The browser keeps the page silent until you click or press a key."}
          </p>
          <button type="button" class="button" onClick={() => studio.wake()}>
            Turn sound on
          </button>
        </div>
      )}
    </div>
  );
}

function Problem({ text, onClose }: { text: string; onClose: () => void }): JSX.Element {
  return (
    <div class="notice notice-problem">
      <Icon name="warning" />
      <p>{text}</p>
      <button type="button" class="button button-icon" aria-label="Close this message" onClick={onClose}>
        <Icon name="remove" />
      </button>
    </div>
  );
}

function Interrupted(): JSX.Element {
  const { studio, session } = useDesk();
  if (session.heldElsewhere.value) {
    const take = (): void => {
      studio.wake();
      void session.resume(studio.programme(), { force: true }).catch(() => undefined);
    };
    return (
      <div class="notice notice-important">
        <Icon name="broadcast" />
        <p>Your broadcast is sent from another tab of this browser.</p>
        <button type="button" class="button" onClick={take}>
          Send it from here
        </button>
      </div>
    );
  }
  return (
    <div class="notice notice-important">
      <Icon name="broadcast" />
      <p>Your broadcast is still open, and its destinations wait for the picture.</p>
      <button type="button" class="button" onClick={() => void session.stop()}>
        End it
      </button>
    </div>
  );
}

const MISSING_WORDS = {
  camera: { text: "Your camera is off. Viewers see a card in its place.", action: "Turn the camera on" },
  screen: {
    text: "Your screen is not shared. Viewers see a card in its place.",
    action: "Share the screen again",
  },
} as const;

/** A picture of the scene that only a click can bring back. */
function Missing({ name }: { name: "camera" | "screen" }): JSX.Element {
  const { studio } = useDesk();
  const { text, action } = MISSING_WORDS[name];
  const bringBack = (): void => {
    studio.wake();
    void studio.bringBack(name);
  };
  return (
    <div class="notice notice-important">
      <Icon name="warning" />
      <p>{text}</p>
      <button type="button" class="button button-primary" onClick={bringBack}>
        {action}
      </button>
      <button type="button" class="button" onClick={() => void studio.leaveOut(name)}>
        Leave it out
      </button>
    </div>
  );
}

function TokenForm(): JSX.Element {
  const { studio, session } = useDesk();
  const text = useSignal("");
  const submit = (event: Event): void => {
    event.preventDefault();
    session.token.value = text.value.trim();
    session.error.value = "";
    session.needsToken.value = false;
    void session.prepare();
    if (session.interrupted.value !== undefined) {
      void session.resume(studio.programme()).catch(() => undefined);
    }
  };
  return (
    <form class="notice notice-important" onSubmit={submit}>
      <Icon name="key" />
      <div class="field notice-field">
        <label for="token">Access token</label>
        <input
          id="token"
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
      </div>
      <button type="submit" class="button button-primary">
        Use token
      </button>
    </form>
  );
}
