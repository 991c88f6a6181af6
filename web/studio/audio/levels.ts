/** Loudness in the units of a mixing desk. */

/** What a meter shows as empty, in decibels of full scale. */
export const METER_FLOOR_DB = -60;

export function decibels(amplitude: number): number {
  return amplitude <= 0 ? Number.NEGATIVE_INFINITY : 20 * Math.log10(amplitude);
}

/** The place of an amplitude on a meter, from 0 to 1. */
export function meterPosition(amplitude: number): number {
  return Math.max(0, Math.min(1, 1 - decibels(amplitude) / METER_FLOOR_DB));
}

/** A fader's gain: its upper end is +6 dB, three quarters of the way is 0 dB, its lower end is silence. */
export function faderGain(position: number): number {
  if (position <= 0) return 0;
  const db = position >= 0.75 ? (position - 0.75) * 24 : (position - 0.75) * 64;
  return 10 ** (db / 20);
}

/** A limiter's curve over amplitudes from −2 to 2: straight up to 0.8, then bending, never above 1. */
export function limiterCurve(points: number): Float32Array<ArrayBuffer> {
  const knee = 0.8;
  const curve = new Float32Array(points);
  for (let index = 0; index < points; index += 1) {
    const input = (index / (points - 1)) * 4 - 2;
    const size = Math.abs(input);
    const bent = knee + (1 - knee) * Math.tanh((size - knee) / (1 - knee));
    curve[index] = Math.sign(input) * (size <= knee ? size : bent);
  }
  return curve;
}
