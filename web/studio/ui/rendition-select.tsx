/** In which size a destination gets the show. It is chosen when the destination is added, and stays. */

import type { JSX } from "preact";
import { PRESETS, renditionInWords } from "../broadcast/renditions.ts";

export function RenditionSelect(props: {
  id: string;
  /** A preset's name, or empty. */
  preset: string;
  onChange: (preset: string) => void;
}): JSX.Element {
  const { id, preset: value } = props;
  return (
    <div class="field">
      <label for={id}>Picture sent</label>
      <select id={id} value={value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        <option value="">As the show is</option>
        {PRESETS.map((preset) => (
          <option key={preset.name} value={preset.name}>
            {renditionInWords(preset)}
          </option>
        ))}
      </select>
    </div>
  );
}
