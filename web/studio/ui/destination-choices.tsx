/** How much a destination matters, and what it gets after a cut: the same words in the form and in the list. */

import type { AfterCut } from "@castgate/client";
import type { JSX } from "preact";
import { Switch } from "./switch.tsx";

export function AfterCutSelect(props: {
  id: string;
  value: AfterCut;
  disabled?: boolean;
  onChange: (value: AfterCut) => void;
}): JSX.Element {
  return (
    <div class="field">
      <label for={props.id}>After a cut</label>
      <select
        id={props.id}
        value={props.value}
        disabled={props.disabled ?? false}
        onChange={(event) => props.onChange(event.currentTarget.value === "catchUp" ? "catchUp" : "jump")}
      >
        <option value="jump">Go on with the newest picture</option>
        <option value="catchUp">Send what was missed, up to 30 s</option>
      </select>
    </div>
  );
}

export function RequiredSwitch(props: {
  id: string;
  on: boolean;
  disabled?: boolean;
  onChange: (on: boolean) => void;
}): JSX.Element {
  return (
    <div>
      <Switch
        on={props.on}
        disabled={props.disabled ?? false}
        describedBy={`${props.id}-hint`}
        onChange={props.onChange}
      >
        The show needs it
      </Switch>
      <p class="hint" id={`${props.id}-hint`}>
        If it cannot keep up, the picture gets a lower bitrate for all. Other destinations drop frames
        instead.
      </p>
    </div>
  );
}
