import assert from "node:assert/strict";
import { test } from "node:test";
import { cellAt, chainIndex, chainStarts, clampSight, edge, maskedResidues, reveal, scaleTicks, ticks, whole, zoomAt } from "../../src/shared/geometry";
import type { SequenceInfo } from "../../src/shared/model";

const sequence = (length: number, numbers?: string[]): SequenceInfo => ({
  name: "",
  residues: "A".repeat(length),
  numbers: numbers ?? Array.from({ length }, (_, k) => String(k + 1)),
  chains: [["A", 1, length]],
});

test("a point and the cell under it agree, whole and zoomed", () => {
  assert.deepEqual(cellAt(0, 0, 100, whole(10), 10), [0, 0]);
  assert.deepEqual(cellAt(99.9, 0, 100, whole(10), 10), [0, 9]);
  assert.equal(cellAt(100, 5, 100, whole(10), 10), null);
  assert.equal(cellAt(-1, 5, 100, whole(10), 10), null);
  const sight = { x: 3.5, y: 7.25, span: 12 };
  for (const [row, column] of [[8, 4], [12, 9], [18, 14]] as const) {
    const [x, y] = [edge(column + 0.5, sight.x, sight, 300), edge(row + 0.5, sight.y, sight, 300)];
    assert.deepEqual(cellAt(x, y, 300, sight, 40), [row, column]);
  }
});

test("zooming keeps the point under the pointer and never leaves the map", () => {
  let sight = whole(100);
  const before = sight.x + 0.3 * sight.span;
  sight = zoomAt(sight, 100, 0.3, 0.6, 2);
  assert.ok(Math.abs(sight.x + 0.3 * sight.span - before) < 1e-9);
  assert.equal(sight.span, 50);
  for (let k = 0; k < 30; k++) sight = zoomAt(sight, 100, 0.9, 0.1, 1.7);
  assert.equal(sight.span, 6);
  for (let k = 0; k < 30; k++) sight = zoomAt(sight, 100, 0.1, 0.9, 0.5);
  assert.deepEqual(sight, whole(100));
  assert.deepEqual(clampSight({ x: -5, y: 99, span: 3 }, 4), { x: 0, y: 0, span: 4 });
});

test("a cell out of sight is brought in by the smallest shift", () => {
  assert.deepEqual(reveal({ x: 10, y: 10, span: 10 }, 50, 25, 4), { x: 16, y: 4, span: 10 });
  assert.deepEqual(reveal({ x: 10, y: 10, span: 10 }, 50, 12, 19), { x: 10, y: 10, span: 10 });
});

test("ticks stand at round residue numbers with room between them", () => {
  const marks = ticks(sequence(58), 0, whole(58), 480, 34);
  assert.deepEqual(marks.map((mark) => mark.text), ["5", "10", "15", "20", "25", "30", "35", "40", "45", "50", "55"]);
  for (const length of [20, 300, 1500]) {
    const found = ticks(sequence(length), 0, whole(length), 480, 34);
    assert.ok(found.length > 2);
    for (let k = 1; k < found.length; k++) assert.ok(((found[k]!.index - found[k - 1]!.index) * 480) / length >= 34);
  }
});

test("ticks follow the structure's own numbers, insertion codes and jumps included", () => {
  const numbers = ["18", "19", "20", "20A", "20B", "21", "22", "23", "24", "25", "40"];
  const marks = ticks(sequence(11, numbers), 0, whole(11), 110, 34);
  assert.deepEqual(marks, [{ index: 2, text: "20" }, { index: 9, text: "25" }]);
});

test("chains", () => {
  const two: SequenceInfo = { name: "", residues: "AAACC", numbers: ["1", "2", "3", "1", "2"], chains: [["A", 1, 3], ["B", 4, 5]] };
  assert.deepEqual(chainStarts(two), [3]);
  assert.deepEqual([...chainIndex(two)], [0, 0, 0, 1, 1]);
});

test("what is not in a visible fragment is masked", () => {
  assert.deepEqual(maskedResidues([[2, 3], [5, 5]], 5), [true, false, false, true, false]);
  assert.deepEqual(maskedResidues([], 2), [true, true]);
  assert.deepEqual(maskedResidues(null, 2), [false, false]);
});

test("scale ticks are round, inside, and few", () => {
  assert.deepEqual(scaleTicks(0, 13.2, 4), [0, 5, 10]);
  assert.deepEqual(scaleTicks(-0.155, 0.155, 4), [-0.1, 0, 0.1]);
  assert.deepEqual(scaleTicks(0, 1, 4), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(scaleTicks(2, 2), []);
});
