import assert from "node:assert/strict";
import { test } from "node:test";
import { paintRows, poolHighest, shade } from "../src/canvas";
import { colourLimits, countedValues, farEnough, quantile, topPairs } from "../src/scores";

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

test("top pairs: against a full sort, each pair once", () => {
  const length = 9;
  const values = Float32Array.from({ length: 81 }, (_, at) => ((at * 37) % 81) / 10);
  const judged = (i: number, j: number): boolean => i !== 4 && j !== 4;
  const expected: [number, number][] = [];
  for (let i = 0; i < length; i++) for (let j = i + 3; j < length; j++) if (judged(i, j)) expected.push([i, j]);
  expected.sort((a, b) => values[b[0] * length + b[1]]! - values[a[0] * length + a[1]]!);
  assert.deepEqual(topPairs(values, length, one(length), 3, 5, judged), expected.slice(0, 5));
});

test("pixels: bright where a pair counts, dim where not, clear where nothing is known", () => {
  const paint = { low: 0, high: 255, bright: Uint32Array.from({ length: 256 }, (_, k) => k + 1), dim: new Uint32Array(256).fill(999), chain: one(3), separation: 2 };
  const pixels = new Uint32Array(9);
  paintRows(pixels, Float32Array.of(5, 5, 300, 5, 5, 5, NaN, 5, 5), 3, 0, 3, paint);
  assert.deepEqual([...pixels], [999, 999, 256, 999, 999, 999, 0, 999, 999]);
  const before = [...pixels];
  paintRows(pixels, new Float32Array(9), 3, 1, 2, paint);
  assert.deepEqual([...pixels.slice(0, 3)], before.slice(0, 3));
});

test("shade: ends and beyond", () => {
  assert.deepEqual([-5, 0, 5, 10, 50].map((value) => shade(value, 0, 10)), [0, 0, 128, 255, 255]);
});

test("pooling keeps the highest of each patch, and NaN only where all is NaN", () => {
  const length = 8;
  const values = Float32Array.from({ length: 64 }, (_, at) => at);
  assert.deepEqual([...poolHighest(values, length, 0, 0, 8, 2)], [27, 31, 59, 63]);
  values.fill(NaN, 0, 32);
  values[3] = 2;
  const pooled = poolHighest(values, length, 0, 0, 8, 2);
  assert.equal(pooled[0], 2);
  assert.ok(Number.isNaN(pooled[1]!));
});
