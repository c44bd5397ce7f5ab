import assert from "node:assert/strict";
import { test } from "node:test";
import { blockContacts, blockMean } from "../../src/contact_map/block_summary";
import type { Layer } from "../../src/contact_map/layers";
import { sightOf } from "../../src/contact_map/pointer";
import { blockParts } from "../../src/contact_map/readout";
import { blockBetween, blockResidues, blockText, growBlock, readBrush, type Brush } from "../../src/shared/brush";

const sequence = { name: "", residues: "MKEACD", numbers: ["1", "2", "3", "4", "5", "6"], chains: [["A", 1, 6]] as [string, number, number][] };

test("only blocks within the sequence are read", () => {
  assert.deepEqual(readBrush([[1, 2], [3, 3]], 3), [[1, 2], [3, 3]]);
  for (const bad of [null, [], [[1, 2]], [[2, 1], [1, 1]], [[0, 1], [1, 1]], [[1, 4], [1, 1]], [[1, 1.5], [1, 1]], ["12", "12"]]) {
    assert.equal(readBrush(bad, 3), null, JSON.stringify(bad));
  }
});

test("any two corners make the same block", () => {
  const block: Brush = [[2, 5], [3, 9]];
  for (const [a, b] of [[[2, 3], [5, 9]], [[5, 9], [2, 3]], [[2, 9], [5, 3]], [[5, 3], [2, 9]]] as [[number, number], [number, number]][]) {
    assert.deepEqual(blockBetween(a, b), block);
  }
});

test("keys grow a block from the selected pair, and never beyond the sequence or to nothing", () => {
  assert.deepEqual(growBlock(null, [2, 5], "ArrowRight", false, 6), [[2, 2], [5, 6]]);
  assert.deepEqual(growBlock([[2, 2], [5, 6]], [2, 5], "ArrowRight", true, 6), [[2, 2], [5, 6]]);
  assert.deepEqual(growBlock([[2, 4], [5, 6]], null, "ArrowUp", true, 6), [[2, 2], [5, 6]]);
  assert.equal(growBlock(null, null, "ArrowUp", false, 6), null);
  assert.equal(growBlock(null, [1, 2], "a", false, 6), null);
});

test("residues of a block: two runs, one where they touch", () => {
  assert.deepEqual(blockResidues([[5, 6], [1, 2]]), [[1, 2], [5, 6]]);
  assert.deepEqual(blockResidues([[3, 6], [1, 2]]), [[1, 6]]);
  assert.deepEqual(blockResidues([[1, 6], [2, 3]]), [[1, 6]]);
});

test("the mean of a block, against a plain loop, by triangle", () => {
  const length = 6;
  const values = Float32Array.from({ length: 36 }, (_, at) => ((at * 7) % 11) - 3);
  values[1 * length + 4] = NaN;
  for (const brush of [[[1, 6], [1, 6]], [[2, 3], [4, 6]], [[3, 5], [2, 4]], [[4, 4], [4, 4]]] as Brush[]) {
    for (const [above, below] of [[true, true], [true, false], [false, true]] as const) {
      const found: number[] = [];
      for (let i = brush[0][0]; i <= brush[0][1]; i++) {
        for (let j = brush[1][0]; j <= brush[1][1]; j++) {
          const value = values[(i - 1) * length + j - 1]!;
          if (i !== j && (i < j ? above : below) && !Number.isNaN(value)) found.push(value);
        }
      }
      const { pairs, mean } = blockMean(values, length, brush, above, below);
      assert.equal(pairs, found.length);
      if (pairs) assert.ok(Math.abs(mean - found.reduce((a, b) => a + b) / pairs) < 1e-12);
      else assert.ok(Number.isNaN(mean));
    }
  }
});

test("contacts of a block: each pair once, and only those far enough", () => {
  const length = 6;
  const native = new Uint8Array(36);
  for (const [i, j] of [[0, 1], [0, 5], [1, 4]] as const) native[i * length + j] = native[j * length + i] = 1;
  const chain = new Uint8Array(length);
  const all: Brush = [[1, 6], [1, 6]];
  assert.equal(blockContacts(native, length, all, chain, 0), 3);
  assert.equal(blockContacts(native, length, all, chain, 3), 2);
  assert.equal(blockContacts(native, length, [[5, 6], [1, 2]], chain, 0), 2);
  assert.equal(blockContacts(native, length, [[3, 3], [1, 6]], chain, 0), 0);
});

test("a block in words: of one map, and of two", () => {
  const layer = (label: string, value: number): Layer => ({ name: label, label, caption: "", quantity: "score", units: "", values: { values: new Float32Array(36).fill(value), shape: [6, 6] }, underMask: true });
  const one = layer("Jacobian", 0.5);
  assert.equal(blockText(sequence, [[2, 3], [5, 5]]), "K2–E3 × C5");
  const brush: Brush = [[2, 3], [5, 6]];
  const ground = { native: null, length: 6, chain: new Uint8Array(6), separation: 0 };
  assert.deepEqual(blockParts(ground, [one, one], brush), ["4 pairs", "mean score 0.50"]);
  const other = layer("head", 0.25);
  assert.deepEqual(blockParts({ ...ground, native: new Uint8Array(36) }, [one, other], brush), ["4 pairs", "◥ mean score 0.50", "0 native contacts"]);
  assert.deepEqual(blockParts(ground, [one, other], [[1, 2], [1, 2]]), ["2 pairs", "◥ mean score 0.50", "◣ mean score 0.25"]);
  assert.deepEqual(blockParts(ground, [null, null], brush), ["no pair with a value"]);
});

test("zooming into a block shows all of it, in the middle", () => {
  assert.deepEqual(sightOf([[11, 20], [31, 34]]), { x: 27, y: 10, span: 10 });
});
