/** What a dry run of a destination found, step by step. */

import type { ProbeResult } from "@castgate/client";
import type { JSX } from "preact";
import { probeInWords, stepInWords } from "../broadcast/words.ts";
import { duration } from "./format.ts";

export function ProbeReport({ result }: { result: ProbeResult }): JSX.Element {
  const steps = result.steps ?? [];
  return (
    <div class={result.ok ? "probe probe-good" : "probe probe-bad"}>
      <p>
        <b>{probeInWords(result)}</b>
      </p>
      {steps.length > 0 && (
        <ol>
          {steps.map(({ step, elapsedMs, detail }, index) => (
            <li key={step}>
              <span>
                {stepInWords(step)}
                {!result.ok && index === steps.length - 1 && <b> – failed</b>}
              </span>
              <span class="hint">{duration(elapsedMs)}</span>
              {detail !== undefined && detail !== null && detail !== "" && (
                <span class="happening-detail">{detail}</span>
              )}
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
