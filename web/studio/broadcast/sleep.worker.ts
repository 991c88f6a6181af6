/** Alarms that ring in time while the page is hidden: browsers slow a hidden page's timers, not a worker's. */

self.onmessage = ({ data }: MessageEvent<{ id: number; milliseconds: number }>) => {
  setTimeout(() => self.postMessage(data.id), data.milliseconds);
};
