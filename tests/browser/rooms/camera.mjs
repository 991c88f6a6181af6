// A camera and a microphone that need none: a picture with its number that flashes, and beeps, each second.

/** How long the picture is white and the beep sounds, in seconds. */
const FLASH_SECONDS = 0.1;

/** The row of blocks that hold a picture's number takes this part of its height, as in the studio page. */
const COUNTER_DIVISOR = 20;

export class Camera {
  #timer;
  #writer;
  #second = 0;
  #flashEndsMs = 0;
  #began = performance.now();
  #audio = new AudioContext({ sampleRate: 48_000 });
  #sound = this.#audio.createMediaStreamDestination();
  #gain = this.#audio.createGain();
  frames = 0;

  /**
   * `colour` is the background's: dark, so that the flash stands out, and by it viewers know whose picture it is. A `busy`
   * picture takes all the bits that an encoder may use.
   */
  constructor({ width = 320, height = 180, rate = 15, colour = [16, 20, 24], busy = false } = {}) {
    this.canvas = new OffscreenCanvas(width, height);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.colour = colour;
    this.busy = busy;
    // A canvas's own stream stands still in a page that nobody looks at; a camera does not.
    this.video = new MediaStreamTrackGenerator({ kind: "video" });
    this.#writer = this.video.writable.getWriter();
    // The tone never ends: a track without a source sends no packets at all, as no microphone does.
    const tone = this.#audio.createOscillator();
    tone.frequency.value = 1000;
    this.#gain.gain.value = 0;
    tone.connect(this.#gain).connect(this.#sound);
    tone.start();
    [this.audio] = this.#sound.stream.getAudioTracks();
    this.#audio.resume();
    const periodMs = 1000 / rate;
    const tick = () => {
      const now = performance.now();
      // A picture that was never drawn leaves out its number.
      const number = Math.round((now - this.#began) / periodMs);
      this.#draw(now, number);
      const next = this.#began + (number + 1) * periodMs;
      this.#timer = setTimeout(tick, next - performance.now());
    };
    tick();
  }

  stop() {
    clearTimeout(this.#timer);
    this.video.stop();
    this.audio.stop();
    return this.#audio.close();
  }

  #draw(nowMs, number) {
    const second = Math.floor((nowMs - this.#began) / 1000);
    if (second > this.#second) {
      this.#second = second;
      this.#flashEndsMs = nowMs + FLASH_SECONDS * 1000 - 17;
      this.#beep();
    }
    const { canvas, context } = this;
    context.fillStyle = nowMs < this.#flashEndsMs ? "white" : `rgb(${this.colour.join(" ")})`;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = "grey";
    context.fillRect(
      ((nowMs / 1000) % 1) * canvas.width,
      canvas.height * 0.9,
      canvas.width / 20,
      canvas.height / 20,
    );
    if (this.busy) this.#drawNoise();
    const blocks = counterBlocks(number);
    const height = Math.max(2, Math.round(canvas.height / COUNTER_DIVISOR));
    blocks.forEach((white, index) => {
      const from = Math.round((index * canvas.width) / blocks.length);
      const to = Math.round(((index + 1) * canvas.width) / blocks.length);
      context.fillStyle = white ? "white" : "black";
      context.fillRect(from, 0, to - from, height);
    });
    this.frames += 1;
    if (this.#writer.desiredSize > 0) {
      this.#writer.write(new VideoFrame(canvas, { timestamp: Math.round(nowMs * 1000) })).catch(() => {
        // The track has been stopped.
      });
    }
  }

  /** Where no colour is looked for. */
  #drawNoise() {
    const { canvas, context } = this;
    const size = canvas.height / 30;
    for (let y = canvas.height * 0.75; y < canvas.height; y += size) {
      for (let x = 0; x < canvas.width; x += size) {
        context.fillStyle = `hsl(${Math.random() * 360} 60% 40%)`;
        context.fillRect(x, y, size, size);
      }
    }
  }

  #beep() {
    const from = this.#audio.currentTime;
    this.#gain.gain.setValueAtTime(0.5, from);
    this.#gain.gain.setValueAtTime(0, from + FLASH_SECONDS);
  }
}

/** White or black from left to right: two marks, the number in Gray code, its check, two marks. */
function counterBlocks(frame) {
  const number = frame % 2 ** 16;
  const gray = number ^ (number >> 1);
  let check = 0b0101;
  for (let nibble = 0; nibble < 4; nibble += 1) check ^= (number >> (4 * nibble)) & 0xf;
  const bits = (value, count) =>
    Array.from({ length: count }, (_, bit) => ((value >> (count - 1 - bit)) & 1) === 1);
  return [true, false, ...bits(gray, 16), ...bits(check, 4), false, true];
}
