/** Another stream key for a destination. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";

export function KeyForm({ id, onDone }: { id: string; onDone: (key?: string) => void }): JSX.Element {
  const text = useSignal("");
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(text.value.trim());
      }}
    >
      <div class="field">
        <label for={`key-${id}`}>New stream key</label>
        <input
          id={`key-${id}`}
          type="password"
          autocomplete="off"
          required
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
      </div>
      <div class="actions">
        <button type="submit" class="button button-primary">
          Use key
        </button>
        <button type="button" class="button" onClick={() => onDone()}>
          Cancel
        </button>
      </div>
    </form>
  );
}
