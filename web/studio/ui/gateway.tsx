/** What the gateway does with the picture: how it makes it, what it receives, what it sends. */

import type { Egress } from "@castgate/client";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { engineInWords, type MethodWish } from "../broadcast/picture-desk.ts";
import { useDesk } from "./context.ts";
import { figure } from "./format.ts";
import { Icon } from "./icons.tsx";
import { Switch } from "./switch.tsx";

/** How often the picture that goes out is fetched, in milliseconds: a gateway answers 100 calls a minute by default. */
const THUMBNAIL_MS = 5_000;

/** How often the monitor's figures are read, in milliseconds. */
const FIGURES_MS = 1_000;

const METHODS: readonly (readonly [MethodWish, string])[] = [
  ["auto", "The gateway's choice"],
  ["gstreamer", "GStreamer"],
  ["ffmpeg", "FFmpeg"],
];

export function GatewayPanel(): JSX.Element {
  const { session } = useDesk();
  const broadcast = session.broadcast.value;
  const engine = broadcast === undefined ? "" : engineInWords(broadcast);
  return (
    <section class="panel" aria-labelledby="gateway-heading">
      <div class="panel-head">
        <h2 id="gateway-heading">Gateway</h2>
        {engine !== "" && <EngineBadge egress={broadcast?.egress} />}
      </div>
      {engine !== "" && <p class="hint">{engine}</p>}
      {broadcast !== undefined && (
        <div class="monitors">
          <Received />
          <Sent />
        </div>
      )}
      {session.monitor.problem.value !== "" && (
        <p class="destination-problem" role="status">
          {session.monitor.problem.value}
        </p>
      )}
      <MakingFields />
    </section>
  );
}

function EngineBadge({ egress }: { egress: Egress | null | undefined }): JSX.Element {
  const passes = egress?.video === "passthrough";
  if (egress?.engineState === "failing") return <span class="badge badge-failed">Failing</span>;
  return (
    <span class={`badge ${passes ? "badge-live" : "badge-connecting"}`}>
      {passes ? "Passthrough" : "Transcoding"}
    </span>
  );
}

/** Which engine makes the pictures. */
function MakingFields(): JSX.Element {
  const { session } = useDesk();
  const { wishes, busy, problem } = session.picture;
  const broadcast = session.broadcast.value;
  const live = broadcast !== undefined;
  const known = METHODS.some(([name]) => name === broadcast?.method);
  const method = live && known ? (broadcast.method as MethodWish) : wishes.value.method;
  const mode = broadcast?.video?.mode;
  const transcode = mode === undefined ? wishes.value.transcode : mode === "transcode";
  return (
    <>
      <div class="field">
        <label for="method">Pictures are made by</label>
        <select
          id="method"
          value={method}
          disabled={busy.value || session.phase.value === "starting"}
          onChange={(event) =>
            void session.picture.change({ method: event.currentTarget.value as MethodWish })
          }
        >
          {METHODS.filter(([name]) => !live || !known || name !== "auto").map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </div>
      <div>
        <Switch
          on={transcode}
          disabled={busy.value || session.phase.value === "starting"}
          describedBy="transcode-hint"
          onChange={(on) => void session.picture.change({ transcode: on })}
        >
          Encode H.264 anew
        </Switch>
        <p class="hint" id="transcode-hint">
          Evens out size and bitrate, and costs the gateway an encoder. Other formats always are.
        </p>
      </div>
      {problem.value !== "" && (
        <p class="destination-problem" role="alert">
          {problem.value}
        </p>
      )}
    </>
  );
}

/** The picture and the sound as the gateway receives them, over WHEP; only when asked for, since it costs bandwidth. */
function Received(): JSX.Element | null {
  const { session } = useDesk();
  const { monitor } = session;
  const stream = monitor.stream.value;
  if (!monitor.isOffered) return null;
  return (
    <figure class={stream === undefined ? "monitor" : "monitor monitor-watched"}>
      {stream === undefined ? (
        <div class="monitor-picture monitor-empty">
          <button type="button" class="button button-small" onClick={() => monitor.watch()}>
            <Icon name="play" /> Watch
          </button>
        </div>
      ) : (
        <Watched stream={stream} />
      )}
      <figcaption>
        Received
        {stream !== undefined && (
          <button type="button" class="button button-small" onClick={() => monitor.unwatch()}>
            <Icon name="stop" /> Close
          </button>
        )}
      </figcaption>
    </figure>
  );
}

function Watched({ stream }: { stream: MediaStream }): JSX.Element {
  const { session } = useDesk();
  const video = useRef<HTMLVideoElement>(null);
  const words = useSignal("");
  useEffect(() => {
    if (video.current !== null) video.current.srcObject = stream;
    let framesBefore: number | undefined;
    const read = async (): Promise<void> => {
      const seen = await session.monitor.statistics();
      if (seen?.width === undefined) return;
      const frames = seen.framesDecoded - (framesBefore ?? seen.framesDecoded);
      if (framesBefore !== undefined) words.value = `${seen.height}p · ${figure(frames, "frames/s")}`;
      framesBefore = seen.framesDecoded;
    };
    const timer = setInterval(() => void read().catch(() => undefined), FIGURES_MS);
    return () => clearInterval(timer);
  }, [stream, session, words]);
  return (
    <>
      <video ref={video} class="monitor-picture" muted autoPlay playsInline controls />
      <p class="hint">{words.value || "The picture appears once the studio sends."}</p>
    </>
  );
}

/** The newest picture that went out: the studio's, the frozen one or the slate. */
function Sent(): JSX.Element {
  const { session } = useDesk();
  const { monitor } = session;
  const { showing = "nothing", egress } = session.broadcast.value ?? {};
  // Asking before there is one would leave an error on the browser's console.
  const goesOut = showing !== "nothing" && egress?.width !== undefined;
  useEffect(() => {
    if (!goesOut) return;
    const leaving = new AbortController();
    const look = (): void => {
      if (!document.hidden) void monitor.look(leaving.signal);
    };
    look();
    const timer = setInterval(look, THUMBNAIL_MS);
    return () => {
      clearInterval(timer);
      leaving.abort();
    };
  }, [monitor, goesOut]);
  const address = monitor.thumbnail.value;
  return (
    <figure class="monitor">
      {address === undefined ? (
        <div class="monitor-picture monitor-empty">
          <span class="hint">Nothing yet</span>
        </div>
      ) : (
        <img class="monitor-picture" src={address} alt="What went out last" />
      )}
      <figcaption>Sent</figcaption>
    </figure>
  );
}
