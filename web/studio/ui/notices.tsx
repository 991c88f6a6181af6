/** What the user should know or do now: errors, a missing token, sound that waits, a broadcast to resume. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useDesk } from "./context.ts";
import { Icon } from "./icons.tsx";

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
      {session.interrupted.value !== undefined && <Interrupted />}
      {session.needsToken.value && <TokenForm />}
      {studio.silent.value && (
        <div class="notice">
          <Icon name="sound" />
          <p>The browser keeps the page silent until you click or press a key.</p>
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
  const { session } = useDesk();
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

function TokenForm(): JSX.Element {
  const { session } = useDesk();
  const text = useSignal("");
  const submit = (event: Event): void => {
    event.preventDefault();
    session.token.value = text.value.trim();
    session.error.value = "";
    session.needsToken.value = false;
    void session.prepare();
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
