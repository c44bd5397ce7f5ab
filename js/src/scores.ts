// Numbers read off a map: its colour limits and its highest pairs.

/** Whether the pair (0-based) counts at that minimum separation; residues of two chains are never too near. */
export const farEnough = (i: number, j: number, chain: Uint8Array, separation: number): boolean =>
  chain[i] !== chain[j] || Math.abs(i - j) >= separation;

/** Linear-interpolated quantile of sorted values. */
export function quantile(sorted: Float32Array, share: number): number {
  if (!sorted.length) return NaN;
  const at = (sorted.length - 1) * share;
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (at - below);
}

const SAMPLE = 10_000;

/** Finite values of counted pairs, sorted; a regular sample where there are very many. */
export function countedValues(values: ArrayLike<number>, length: number, chain: Uint8Array, separation: number): Float32Array {
  const stride = Math.max(1, Math.round((length * length) / SAMPLE));
  // A stride that shares a factor with the length would look at some columns only.
  let step = stride;
  while (step > 1 && length % step === 0) step++;
  const found: number[] = [];
  for (let at = 0; at < length * length; at += step) {
    const value = values[at]!;
    const i = Math.floor(at / length);
    const j = at % length;
    if (i !== j && Number.isFinite(value) && farEnough(i, j, chain, separation)) found.push(value);
  }
  return Float32Array.from(found).sort();
}

export interface Limits {
  low: number;
  high: number;
}

/** Where the colour scale begins and ends: at zero for scores, at the lower quartile for norms (which are never 0). */
export function colourLimits(sorted: Float32Array, percentile: number, fromZero: boolean): Limits {
  if (!sorted.length) return { low: 0, high: 1 };
  const high = quantile(sorted, percentile / 100);
  const low = fromZero ? 0 : quantile(sorted, 0.25);
  return high > low ? { low, high } : { low, high: low + (Math.abs(low) || 1) };
}

/** The `count` highest pairs i < j (0-based) that count and may be judged, best first. */
export function topPairs(
  values: ArrayLike<number>,
  length: number,
  chain: Uint8Array,
  separation: number,
  count: number,
  judged: (i: number, j: number) => boolean = () => true,
): [number, number][] {
  const found: number[] = [];
  for (let i = 0; i < length; i++) {
    for (let j = i + 1; j < length; j++) {
      if (farEnough(i, j, chain, separation) && Number.isFinite(values[i * length + j]!) && judged(i, j)) found.push(i * length + j);
    }
  }
  found.sort((a, b) => values[b]! - values[a]! || a - b);
  return found.slice(0, count).map((at) => [Math.floor(at / length), at % length]);
}
