/** Level meters, moved without rendering: ten times a second is too often for that. */

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { decibels, METER_FLOOR_DB, meterPosition } from "../audio/levels.ts";

/** How often meters move, in milliseconds. */
const METER_MS = 66;

/** How far a meter falls per move, so that short peaks can be seen. */
const FALL = 0.06;

export function Meter({ label, level }: { label: string; level: () => number }): JSX.Element {
  const bar = useRef<HTMLDivElement>(null);
  const read = useRef(level);
  read.current = level;

  useEffect(() => {
    let shown = 0;
    let told = Number.NaN;
    const timer = setInterval(() => {
      const element = bar.current;
      if (element === null || document.hidden) return;
      const amplitude = read.current();
      shown = Math.max(meterPosition(amplitude), shown - FALL);
      element.style.setProperty("--level", shown.toFixed(3));
      const db = Math.round(Math.max(METER_FLOOR_DB, decibels(amplitude)));
      if (db !== told) element.setAttribute("aria-valuenow", String(db));
      told = db;
    }, METER_MS);
    return () => clearInterval(timer);
  }, []);

  return (
    // biome-ignore lint/a11y/useSemanticElements: a meter element cannot be moved without a change of its value
    <div
      ref={bar}
      class="meter"
      role="meter"
      aria-label={label}
      aria-valuemin={METER_FLOOR_DB}
      aria-valuemax={0}
      aria-valuenow={METER_FLOOR_DB}
    />
  );
}
