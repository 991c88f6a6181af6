/** FLV over HTTP in a video element, a second behind at most. */

import mpegts from "mpegts.js";

/** How far the picture may fall behind before it jumps, in seconds. */
const LONGEST_DELAY_SECONDS = 2.5;
const WANTED_DELAY_SECONDS = 0.8;

/** How long to wait before a broken stream is opened again, in milliseconds. */
const AGAIN_MS = 1_500;

/** Plays until the returned function is called. A stream that breaks is opened again. */
export function playFlv(
  video: HTMLVideoElement,
  url: string,
  token: string,
  onProblem: (words: string) => void,
): () => void {
  if (!mpegts.isSupported()) {
    onProblem("This browser cannot play the received picture.");
    return () => undefined;
  }
  mpegts.LoggingControl.enableAll = false;
  let player: mpegts.Player | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;

  const close = (): void => {
    clearTimeout(again);
    player?.destroy();
    player = undefined;
  };
  const open = (): void => {
    const made = mpegts.createPlayer(
      { type: "flv", isLive: true, url, cors: true },
      {
        enableWorker: false,
        enableStashBuffer: false,
        liveBufferLatencyChasing: true,
        liveBufferLatencyMaxLatency: LONGEST_DELAY_SECONDS,
        liveBufferLatencyMinRemain: WANTED_DELAY_SECONDS,
        autoCleanupSourceBuffer: true,
        ...(token === "" ? {} : { headers: { Authorization: `Bearer ${token}` } }),
      },
    );
    const broken = (): void => {
      close();
      onProblem("The received picture was interrupted. Opening it again.");
      again = setTimeout(open, AGAIN_MS);
    };
    player = made;
    made.on(mpegts.Events.ERROR, broken);
    made.on(mpegts.Events.LOADING_COMPLETE, broken);
    made.attachMediaElement(video);
    made.load();
    // Autoplay may be refused; the controls then start it.
    void Promise.resolve(made.play()).catch(() => undefined);
  };

  const onPlaying = (): void => onProblem("");
  video.addEventListener("playing", onPlaying);
  open();
  return () => {
    video.removeEventListener("playing", onPlaying);
    close();
  };
}
