/** The picture as it goes out. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { goingOut, isNoticed } from "../broadcast/going-out.ts";
import { useDesk } from "./context.ts";

export function Programme(): JSX.Element {
  const { studio, session } = useDesk();
  const frame = useRef<HTMLDivElement>(null);
  const rate = useSignal(0);

  useEffect(() => {
    const { canvas } = studio.compositor;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Programme: the picture as it goes out");
    frame.current?.prepend(canvas);
    const timer = setInterval(() => {
      rate.value = Math.round(studio.compositor.statistics().framesPerSecond);
    }, 1000);
    return () => clearInterval(timer);
  }, [studio, rate]);

  const { width, height } = studio.size.value;
  const out = goingOut(session.phase.value, session.broadcast.value);
  return (
    <section class="panel programme" aria-label="Programme">
      <div class="programme-picture" ref={frame}>
        {out !== undefined && <span class={`on-air on-air-${out.tone}`}>{out.badge}</span>}
      </div>
      <p class="programme-caption">
        <span>{out === undefined || isNoticed(out) ? "Programme" : out.text}</span>
        <span>
          {width} × {height} · {rate.value} frames/s
        </span>
      </p>
    </section>
  );
}
