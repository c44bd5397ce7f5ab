// numpy's default_rng(seed).permutation(…), so that one seed draws the same residues here and in Python.
// SeedSequence: O'Neill's seed_seq_fe (2015); PCG64: O'Neill (2014), HMC-CS-2014-0905.

const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** 32-bit words that follow from a list of whole numbers below 2³². */
function seedWords(entropy: readonly number[], count: number): number[] {
  let constant = 0x43b0d7e5;
  const hash = (value: number): number => {
    value ^= constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const value = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) | 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((k) => hash(entropy[k] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to]!, hash(pool[from]!));
  }
  for (const value of entropy.slice(4)) for (let to = 0; to < 4; to++) pool[to] = mix(pool[to]!, hash(value));
  let other = 0x8b51f9dd;
  return Array.from({ length: count }, (_, k) => {
    let value = pool[k % 4]! ^ other;
    other = Math.imul(other, 0x58f38ded);
    value = Math.imul(value, other);
    return (value ^ (value >>> 16)) >>> 0;
  });
}

/** 32-bit numbers of PCG64, the lower half of each 64 bits first. */
function pcg64(entropy: readonly number[]): () => number {
  const words = seedWords(entropy, 8).map(BigInt);
  const long = (k: number): bigint => words[2 * k]! | (words[2 * k + 1]! << 32n);
  const increment = ((((long(2) << 64n) | long(3)) << 1n) | 1n) & MASK_128;
  let state = (increment + ((long(0) << 64n) | long(1))) & MASK_128;
  const step = (): void => {
    state = (state * MULTIPLIER + increment) & MASK_128;
  };
  step();
  let kept: number | null = null;
  return () => {
    if (kept !== null) {
      const half = kept;
      kept = null;
      return half;
    }
    step();
    const folded = (state >> 64n) ^ (state & MASK_64);
    const turn = state >> 122n;
    const bits = ((folded >> turn) | (folded << ((64n - turn) & 63n))) & MASK_64;
    kept = Number(bits >> 32n);
    return Number(bits & 0xffffffffn);
  };
}

/** As `numpy.random.default_rng(entropy).permutation(values)`, for fewer than 2³² values. */
export function permutation<T>(values: readonly T[], entropy: readonly number[]): T[] {
  const next = pcg64(entropy);
  const drawn = [...values];
  for (let k = drawn.length - 1; k > 0; k--) {
    // As many bits as k has, drawn again until they do not exceed it.
    const bits = 2 ** (32 - Math.clz32(k)) - 1;
    let other: number;
    do other = (next() & bits) >>> 0;
    while (other > k);
    [drawn[k], drawn[other]] = [drawn[other]!, drawn[k]!];
  }
  return drawn;
}
