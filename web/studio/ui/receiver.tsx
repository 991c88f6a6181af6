/** What the local receiver got, played back: proof that the broadcast arrives. */

import type { LocalStream } from "@castgate/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useDesk } from "./context.ts";
import { counted } from "./format.ts";

export function ReceiverPicture(): JSX.Element | null {
  const { session } = useDesk();
  const broadcast = session.broadcast.value;
  const local = broadcast?.destinations.find(({ id }) => id === "local");
  if (broadcast === undefined || local === undefined) return null;
  const stream = session.receiver.value?.streams.findLast(
    (each) => each.id === broadcast.id && each.state !== "ended",
  );
  return (
    <section class="panel" aria-labelledby="receiver-heading">
      <h2 id="receiver-heading">Arrives at the local receiver</h2>
      {stream !== undefined && local.state === "live" ? (
        <>
          <Player key={stream.id} url={session.api.localStreamUrl(stream.id)} />
          <p class="hint">{streamWords(stream)}</p>
        </>
      ) : (
        <p class="hint">The picture appears here once the receiver has it.</p>
      )}
    </section>
  );
}

/** Plays FLV over HTTP; the player is loaded only when there is something to play. */
function Player({ url }: { url: string }): JSX.Element {
  const { session } = useDesk();
  const video = useRef<HTMLVideoElement>(null);
  const problem = useSignal("");

  useEffect(() => {
    const element = video.current;
    if (element === null) return;
    let stopped = false;
    let stop: (() => void) | undefined;
    const play = async (): Promise<void> => {
      const { playFlv } = await import("../receiver/player.ts");
      if (stopped) return;
      stop = playFlv(element, url, session.token.value, (words) => (problem.value = words));
    };
    play().catch(() => (problem.value = "The player could not be loaded."));
    return () => {
      stopped = true;
      stop?.();
    };
  }, [url, session, problem]);

  return (
    <>
      <video ref={video} class="receiver-video" muted autoPlay playsInline controls />
      {problem.value !== "" && <p class="destination-problem">{problem.value}</p>}
    </>
  );
}

function streamWords({ width, height, videoFrames }: LocalStream): string {
  const size = width && height ? `${width} × ${height}` : "Picture";
  return videoFrames === undefined ? size : `${size}, ${counted(videoFrames, "frame")} received`;
}
