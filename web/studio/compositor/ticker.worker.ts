/** Ticks that go on while the page is hidden: browsers slow a hidden page's timers, not a worker's. */

let timer: ReturnType<typeof setInterval> | undefined;

self.onmessage = ({ data }: MessageEvent<number>) => {
  clearInterval(timer);
  timer = data > 0 ? setInterval(() => self.postMessage(undefined), data) : undefined;
};
