/** In which size a destination gets the show: the same words in the form and in the list. */

import type { Rendition } from "@castgate/client";
import type { JSX } from "preact";
import { PRESETS, presetOf, renditionInWords } from "../broadcast/renditions.ts";

/** What a destination has that no preset names. */
const OTHER = "other";

export function RenditionSelect(props: {
  id: string;
  /** A preset's name, or empty. */
  preset: string;
  /** What the gateway says that it sends. */
  rendition?: Rendition | null | undefined;
  disabled?: boolean;
  onChange: (preset: string) => void;
}): JSX.Element {
  const { id, rendition } = props;
  const unnamed = rendition !== undefined && rendition !== null && presetOf(rendition) === undefined;
  const value = unnamed ? OTHER : (presetOf(rendition) ?? props.preset);
  return (
    <div class="field">
      <label for={id}>Picture sent</label>
      <select
        id={id}
        value={value}
        disabled={props.disabled ?? false}
        onChange={(event) => props.onChange(event.currentTarget.value)}
      >
        <option value="">As the show is</option>
        {unnamed && (
          <option value={OTHER} disabled>
            {renditionInWords(rendition)}
          </option>
        )}
        {PRESETS.map((preset) => (
          <option key={preset.name} value={preset.name}>
            {renditionInWords(preset)}
          </option>
        ))}
      </select>
    </div>
  );
}
