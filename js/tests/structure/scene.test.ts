import assert from "node:assert/strict";
import { test } from "node:test";
import { clicked, countPlaced, linesOf, positionOf, positionsOf, selectionText, shadesOfAtoms } from "../../src/structure/scene";

// Three residues: atoms 0–3, not resolved, atoms 9–10; atoms 4–8 belong to residues that the sequence does not have.
const atoms = [0, 4, -1, -1, 9, 11];

test("atoms and positions", () => {
  const found = Array.from({ length: 13 }, (_, atom) => positionOf(atoms, atom - 1));
  assert.deepEqual(found, [null, 1, 1, 1, 1, null, null, null, null, null, 3, 3, null]);
  assert.equal(selectionText(atoms, [3, 2, 1, 3]), "@9,10,0,1,2,3");
  assert.equal(selectionText(atoms, [2]), "none");
  assert.deepEqual(positionsOf([[2, 4], [3, 5]], [9, 1]), [1, 2, 3, 4, 5, 9]);
  assert.equal(countPlaced([1, 2, 3, NaN, NaN, NaN, 0, 0, 0]), 2);
});

test("shades go to the atoms of their residues, what is unknown below all of them", () => {
  const target = new Float32Array(11);
  shadesOfAtoms(atoms, [0.5, 0.9, NaN], target);
  assert.deepEqual([...target], [50, 50, 50, 50, -25, -25, -25, -25, -25, -25, -25]);
});

test("lines: the best that are far enough apart, or of two chains", () => {
  const pairs = [1, 2, 1, 1, 9, 0, 4, 5, -1, 2, 8, 1];
  const chain = [0, 0, 0, 0, 1, 1, 1, 1, 1];
  assert.deepEqual(linesOf(pairs, chain, 6, 9), [
    { pair: [1, 9], contact: false },
    { pair: [4, 5], contact: null },
    { pair: [2, 8], contact: true },
  ]);
  assert.deepEqual(linesOf(pairs, new Array(9).fill(0), 7, 9), [{ pair: [1, 9], contact: false }]);
  assert.equal(linesOf(pairs, chain, 1, 2).length, 2);
});

test("the second of two clicks makes the pair, the same one again lets go", () => {
  assert.deepEqual(clicked([], 4), { residues: [[4, 4]] });
  assert.deepEqual(clicked([[4, 4]], 9), { residues: [], selection: [4, 9] });
  assert.deepEqual(clicked([[4, 4]], 4), { residues: [] });
  assert.deepEqual(clicked([[4, 6]], 5), { residues: [[5, 5]] });
});
