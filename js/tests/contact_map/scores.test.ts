import assert from "node:assert/strict";
import { test } from "node:test";
import { colourLimits, countedValues, farEnough, quantile, rank } from "../../src/contact_map/scores";
import { shade } from "../../src/shared/canvas";

const one = (length: number): Uint8Array => new Uint8Array(length);

test("quantile: closed form on 0 … 100", () => {
  const sorted = Float32Array.from({ length: 101 }, (_, k) => k);
  for (const share of [0, 0.25, 0.5, 0.995, 1]) assert.ok(Math.abs(quantile(sorted, share) - 100 * share) < 1e-4);
  assert.ok(Number.isNaN(quantile(new Float32Array(0), 0.5)));
});

test("separation counts along one chain only", () => {
  const chain = Uint8Array.of(0, 0, 0, 1, 1);
  assert.ok(!farEnough(0, 2, chain, 3) && farEnough(0, 2, chain, 2));
  assert.ok(farEnough(2, 3, chain, 50));
});

test("counted values leave out the diagonal, near pairs and what is not known", () => {
  const values = Float32Array.of(9, 1, 2, 3, 9, NaN, 4, 5, 9);
  assert.deepEqual([...countedValues(values, 3, one(3), 1)], [1, 2, 3, 4, 5]);
  assert.deepEqual([...countedValues(values, 3, one(3), 2)], [2, 4]);
});

test("a large map is sampled over all its columns", () => {
  const length = 600;
  const values = Float32Array.from({ length: length * length }, (_, at) => at % length);
  const sample = countedValues(values, length, one(length), 0);
  assert.ok(sample.length > 5_000 && sample.length < 20_000);
  assert.ok(Math.abs(quantile(sample, 0.5) - 299.5) < 10);
});

test("limits: from zero for scores, never empty", () => {
  const sorted = Float32Array.of(-1, 0, 1, 2, 3);
  assert.deepEqual(colourLimits(sorted, 100, true), { low: 0, high: 3 });
  assert.deepEqual(colourLimits(sorted, 100, false), { low: 0, high: 3 });
  const flat = colourLimits(Float32Array.of(2, 2, 2), 99, false);
  assert.ok(flat.high > flat.low);
  assert.deepEqual(colourLimits(new Float32Array(0), 99, true), { low: 0, high: 1 });
});

test("ranking: against a full sort, each pair once, unresolved ones left out", () => {
  const length = 9;
  const native = new Uint8Array(81);
  for (let k = 0; k < length; k++) native[4 * length + k] = native[k * length + 4] = 2;
  for (const [i, j] of [[0, 8], [1, 5], [2, 7], [3, 6]] as const) native[i * length + j] = native[j * length + i] = 1;
  const values = Float32Array.from({ length: 81 }, (_, at) => ((at * 37) % 81) / 10);
  const score = (i: number, j: number): number => (values[i * length + j]! + values[j * length + i]!) / 2;
  const pairs: [number, number][] = [];
  for (let i = 0; i < length; i++) for (let j = i + 3; j < length; j++) if (i !== 4 && j !== 4) pairs.push([i, j]);
  pairs.sort((a, b) => score(...b) - score(...a) || a[0] - b[0] || a[1] - b[1]);
  const { top, residues, precision, chance } = rank(values, native, length, one(length), 3);
  assert.equal(residues, 8);
  assert.deepEqual(top, pairs.slice(0, 8));
  const hits = (some: [number, number][]): number => some.filter(([i, j]) => native[i * length + j] === 1).length;
  assert.ok(score(...pairs[7]!) > score(...pairs[8]!), "no tie at the limit here");
  assert.equal(precision, hits(top) / 8);
  assert.equal(chance, hits(pairs) / pairs.length);
});

test("ranking: ties across the limit enter with their mean, missing pairs are misses", () => {
  // All six pairs of four residues tie and three are contacts: four places hold two of them.
  const native = Uint8Array.of(0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0);
  assert.equal(rank(new Float32Array(16).fill(1), native, 4, one(4), 1).precision, 0.5);
  // Only the pair (0, 3) is three apart, so one hit stands against four places.
  const { precision, chance, top } = rank(new Float32Array(16).fill(1), native, 4, one(4), 3);
  assert.deepEqual([precision, chance, top], [0.25, 1, [[0, 3]]]);
  const alone = rank(new Float32Array(16).fill(1), null, 4, one(4), 1);
  assert.deepEqual([alone.precision, alone.chance, alone.top.length], [null, null, 4]);
});

test("shade: ends and beyond", () => {
  assert.deepEqual([-5, 0, 5, 10, 50].map((value) => shade(value, 0, 10)), [0, 0, 128, 255, 255]);
});
