/** Sounds that need no microphone: a short tune in stereo, and the beep of the flash pattern. */

/** The beep's pitch, in hertz. */
const BEEP_HZ = 1000;

/** How long a beep takes to come and go, in seconds, so that it does not click. */
const RAMP_SECONDS = 0.002;

/** Two bars of a calm arpeggio, in semitones from A3. */
const TUNE = [0, 7, 12, 16, 12, 7, 3, 10, 15, 19, 15, 10, 5, 12, 17, 21];
const NOTE_SECONDS = 0.25;
const A3_HZ = 220;

/** A tune that loops without a seam and wanders between left and right. */
export function tune(context: BaseAudioContext): AudioBuffer {
  const rate = context.sampleRate;
  const noteLength = Math.round(NOTE_SECONDS * rate);
  const buffer = context.createBuffer(2, noteLength * TUNE.length, rate);
  const left = buffer.getChannelData(0);
  const right = buffer.getChannelData(1);
  TUNE.forEach((semitones, index) => {
    const pitch = A3_HZ * 2 ** (semitones / 12);
    const pan = 0.5 + 0.4 * Math.sin((index / TUNE.length) * 2 * Math.PI);
    for (let sample = 0; sample < noteLength * 3; sample += 1) {
      const seconds = sample / rate;
      const level = 0.16 * Math.min(1, seconds / 0.008) * Math.exp(-seconds * 5);
      const phase = 2 * Math.PI * pitch * seconds;
      const value = level * (Math.sin(phase) + 0.25 * Math.sin(2 * phase));
      const place = (index * noteLength + sample) % buffer.length;
      left[place] = (left[place] ?? 0) + value * Math.sqrt(1 - pan);
      right[place] = (right[place] ?? 0) + value * Math.sqrt(pan);
    }
  });
  return buffer;
}

/** One beep of a length in milliseconds, the same on both sides. */
export function beep(context: BaseAudioContext, lengthMs: number): AudioBuffer {
  const rate = context.sampleRate;
  const length = Math.round((lengthMs / 1000) * rate);
  const buffer = context.createBuffer(2, length, rate);
  const ramp = RAMP_SECONDS * rate;
  for (const channel of [buffer.getChannelData(0), buffer.getChannelData(1)]) {
    for (let sample = 0; sample < length; sample += 1) {
      const edge = Math.min(1, (sample + 1) / ramp, (length - sample) / ramp);
      channel[sample] = 0.5 * edge * Math.sin((2 * Math.PI * BEEP_HZ * sample) / rate);
    }
  }
  return buffer;
}
