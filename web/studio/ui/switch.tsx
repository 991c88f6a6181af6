/** A switch with its words. */

import type { ComponentChildren, JSX } from "preact";

interface SwitchProps {
  on: boolean;
  onChange: (on: boolean) => void;
  disabled?: boolean;
  /** The id of what explains it. */
  describedBy?: string;
  children: ComponentChildren;
}

export function Switch(props: SwitchProps): JSX.Element {
  const { on, onChange, disabled = false, describedBy, children } = props;
  return (
    <label class="check">
      <input
        type="checkbox"
        role="switch"
        aria-checked={on}
        {...(describedBy === undefined ? {} : { "aria-describedby": describedBy })}
        checked={on}
        disabled={disabled}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>{children}</span>
    </label>
  );
}
