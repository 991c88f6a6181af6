/** A switch with its words. */

import type { ComponentChildren, JSX } from "preact";

interface SwitchProps {
  on: boolean;
  onChange: (on: boolean) => void;
  disabled?: boolean;
  children: ComponentChildren;
}

export function Switch({ on, onChange, disabled = false, children }: SwitchProps): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        role="switch"
        aria-checked={on}
        checked={on}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>{children}</span>
    </label>
  );
}
