import assert from "node:assert/strict";
import { test } from "node:test";
import { boxesOf, dragged, gripAt, layoutTrack, lineOf, positionAt, residueX, ROW } from "../../src/sequence_mask/layout";
import type { Fragment } from "../../src/shared/fragments";
import type { SequenceInfo } from "../../src/shared/model";

const protein = (...lengths: number[]): SequenceInfo => {
  let first = 1;
  const chains = lengths.map((length, k): [string, number, number] => {
    const chain: [string, number, number] = ["ABC"[k]!, first, first + length - 1];
    first += length;
    return chain;
  });
  return { name: "", residues: "A".repeat(first - 1), numbers: Array.from({ length: first - 1 }, (_, k) => String(k + 1)), chains };
};

test("every residue stands in one line, in order, within the width", () => {
  for (const sequence of [protein(58), protein(300), protein(41, 90), protein(5, 1, 130)]) {
    for (const width of [150, 320, 600, 970, 1600]) {
      const layout = layoutTrack(sequence, width);
      const all = layout.lines.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, k) => first + k));
      assert.deepEqual(all, Array.from({ length: sequence.residues.length }, (_, k) => k + 1));
      assert.ok(layout.width <= width, `${layout.width} in ${width}`);
      assert.ok(layout.cell >= 10);
      for (const line of layout.lines) {
        const [, first, last] = sequence.chains[line.chain]!;
        assert.ok(line.first >= first && line.last <= last, "a line crosses a chain's end");
      }
    }
  }
});

test("lines wrap at tens, and a short protein fills one line", () => {
  assert.equal(layoutTrack(protein(58), 970).lines.length, 1);
  const wrapped = layoutTrack(protein(300), 970);
  assert.ok(wrapped.lines.every(({ first }) => first % 10 === 1));
  assert.ok(layoutTrack(protein(58), 400).lines.length > 1);
});

test("a residue's middle is found again, points beside the letters are not", () => {
  const layout = layoutTrack(protein(41, 90), 500);
  for (let position = 1; position <= 131; position++) {
    const line = lineOf(layout, position)!;
    const [x, y] = [residueX(layout, line, position) + layout.cell / 2, line.top + ROW.numbers + 5];
    assert.equal(positionAt(layout, x, y), position);
    assert.equal(positionAt(layout, x, line.top + 2), null);
  }
  assert.equal(positionAt(layout, layout.left - 2, ROW.numbers + 5), null);
  assert.equal(positionAt(layout, -50, ROW.numbers + 5, true), 1);
  assert.equal(positionAt(layout, 9999, ROW.numbers + 5, true), layout.lines[0]!.last);
  assert.equal(positionAt(layout, 9999, 9999, true), 131);
});

test("boxes cover the fragment, line by line, and know where it begins and ends", () => {
  const layout = layoutTrack(protein(120), 600);
  const { first, last } = layout.lines[1]!;
  const boxes = boxesOf(layout, [first - 3, last + 2]);
  assert.equal(boxes.length, 3);
  assert.deepEqual(boxes.map(({ begins, ends }) => [begins, ends]), [[true, false], [false, false], [false, true]]);
  const residues = boxes.reduce((sum, { width }) => sum + width / layout.cell, 0);
  assert.ok(Math.abs(residues - (last + 2 - (first - 3) + 1)) < 1e-9);
});

test("a drag counts residues along lines", () => {
  const layout = layoutTrack(protein(120), 600);
  const [one, two] = [layout.lines[0]!, layout.lines[1]!];
  const at = (position: number): { x: number; y: number } => {
    const line = lineOf(layout, position)!;
    return { x: residueX(layout, line, position) + 3, y: line.top + ROW.numbers + 4 };
  };
  for (const [from, to] of [[5, 9], [9, 5], [one.last, two.first], [two.first + 7, 3]] as const) assert.equal(dragged(layout, at(from), at(to)), to - from);
});

test("ends are taken hold of a little outside too, the middle moves, elsewhere is nothing", () => {
  const layout = layoutTrack(protein(58), 970);
  const fragments: Fragment[] = [[10, 20], [22, 22]];
  const [big] = boxesOf(layout, fragments[0]!);
  const [small] = boxesOf(layout, fragments[1]!);
  const y = big!.y + 8;
  assert.deepEqual(gripAt(layout, fragments, big!.x - 4, y), { fragment: 0, grip: "start" });
  assert.deepEqual(gripAt(layout, fragments, big!.x + 4, y), { fragment: 0, grip: "start" });
  assert.deepEqual(gripAt(layout, fragments, big!.x + big!.width + 3, y), { fragment: 0, grip: "end" });
  assert.deepEqual(gripAt(layout, fragments, big!.x + 60, y), { fragment: 0, grip: "whole" });
  assert.deepEqual(gripAt(layout, fragments, small!.x + small!.width / 2, y), { fragment: 1, grip: "whole" });
  assert.deepEqual(gripAt(layout, fragments, small!.x - 2, y), { fragment: 1, grip: "start" });
  assert.equal(gripAt(layout, fragments, big!.x - 40, y), null);
  assert.equal(gripAt(layout, fragments, big!.x + 60, y + 60), null);
});
