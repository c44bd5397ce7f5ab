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

export interface Ranking {
  /** The L highest pairs i < j (0-based) that count, best first. */
  top: [number, number][];
  /** L: residues that the structure resolves, or all where there is none. */
  residues: number;
  /** Share of contacts among them, and among all pairs that count; null without a structure. */
  precision: number | null;
  chance: number | null;
}

/**
 * Rank pairs as `catjac.precision_at_l` does: the mean of both directions counts, unresolved pairs are left out,
 * pairs that do not exist count as misses, and ties across the limit enter with their mean.
 * `native` holds 0, 1, and 2 for not resolved; its diagonal says whether a residue is.
 */
export function rank(values: ArrayLike<number>, native: ArrayLike<number> | null, length: number, chain: Uint8Array, separation: number): Ranking {
  let residues = 0;
  for (let i = 0; i < length; i++) if (native?.[i * length + i] !== 2) residues++;
  let count = 0;
  const at = new Uint32Array((length * (length - 1)) / 2);
  const scores = new Float64Array(at.length);
  let contacts = 0;
  for (let i = 0; i < length; i++) {
    for (let j = i + 1; j < length; j++) {
      const score = (values[i * length + j]! + values[j * length + i]!) / 2;
      const known = native?.[i * length + j];
      if (known === 2 || !Number.isFinite(score) || !farEnough(i, j, chain, separation)) continue;
      if (known === 1) contacts++;
      at[count] = i * length + j;
      scores[count++] = score;
    }
  }
  const limit = count > residues ? scores.slice(0, count).sort()[count - residues]! : -Infinity;
  const kept: [number, number][] = [];
  let [above, aboveHits, tied, tiedHits] = [0, 0, 0, 0];
  for (let k = 0; k < count; k++) {
    if (scores[k]! < limit) continue;
    const hit = native?.[at[k]!] === 1 ? 1 : 0;
    if (scores[k]! > limit) [above, aboveHits] = [above + 1, aboveHits + hit];
    else [tied, tiedHits] = [tied + 1, tiedHits + hit];
    kept.push([scores[k]!, at[k]!]);
  }
  kept.sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const hits = aboveHits + (tied ? (Math.min(residues - above, tied) * tiedHits) / tied : 0);
  return {
    top: kept.slice(0, residues).map(([, cell]) => [Math.floor(cell / length), cell % length]),
    residues,
    precision: native && residues ? hits / residues : null,
    chance: native && count ? contacts / count : null,
  };
}
