/** What a dry run of a destination found, step by step. */

import type { ProbeResult } from "@castgate/client";
import type { JSX } from "preact";
import { probeInWords, stepInWords } from "../broadcast/words.ts";
import { duration } from "./format.ts";

/** `onCheckKey` is offered when the server is fine and only the key has not been tried. */
export function ProbeReport(props: { result: ProbeResult; onCheckKey?: () => void }): JSX.Element {
  const { result, onCheckKey } = props;
  const steps = result.steps ?? [];
  return (
    <div class={result.ok ? "probe probe-good" : "probe probe-bad"}>
      <p>
        <b>{probeInWords(result)}</b>
      </p>
      {steps.length > 0 && (
        <ol>
          {steps.map(({ step, elapsedMs, detail }) => (
            <li key={step}>
              <span>{stepInWords(step)}</span>
              <span class="hint">{duration(elapsedMs)}</span>
              {detail !== undefined && detail !== null && detail !== "" && (
                <span class="happening-detail">{detail}</span>
              )}
            </li>
          ))}
        </ol>
      )}
      {onCheckKey !== undefined && result.ok && !steps.some(({ step }) => step === "publish") && (
        <div>
          <button type="button" class="button button-small" onClick={onCheckKey}>
            Try the key too
          </button>
          <p class="hint">Sends no picture, but the platform may take it for the beginning of a broadcast.</p>
        </div>
      )}
    </div>
  );
}
