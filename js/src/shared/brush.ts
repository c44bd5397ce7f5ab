// A brush: the block of pairs that somebody dragged over the map. Runs of rows and of columns, 1-based, ends included.

import type { Pair, SequenceInfo } from "./model";
import { residueLabel } from "./text";

export type Brush = [Pair, Pair];

/** A brush from a trait's value; null for anything that does not lie within 1 … `length`. */
export function readBrush(value: unknown, length: number): Brush | null {
  if (!Array.isArray(value) || value.length !== 2) return null;
  const good = (run: unknown): run is Pair =>
    Array.isArray(run) && run.length === 2 && run.every(Number.isInteger) && run[0] >= 1 && run[0] <= run[1] && run[1] <= length;
  return value.every(good) ? (value as Brush) : null;
}

export const sameBrush = (a: Brush | null, b: Brush | null): boolean => String(a) === String(b);

/** The block between two corners. */
export const blockBetween = (a: Pair, b: Pair): Brush => [
  [Math.min(a[0], b[0]), Math.max(a[0], b[0])],
  [Math.min(a[1], b[1]), Math.max(a[1], b[1])],
];

/** Grow or shrink a block at its far end with an arrow key (ten residues with `far`); null for other keys. */
export function growBlock(brush: Brush | null, from: Pair | null, key: string, far: boolean, length: number): Brush | null {
  const moves: Record<string, Pair> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const move = moves[key];
  const base = brush ?? (from && blockBetween(from, from));
  if (!move || !base) return null;
  const grow = ([first, last]: Pair, step: number): Pair => [first, Math.min(length, Math.max(first, last + step * (far ? 10 : 1)))];
  return [grow(base[0], move[0]), grow(base[1], move[1])];
}

/** The residues of a block as runs, merged where they touch. */
export function blockResidues([rows, columns]: Brush): Pair[] {
  const [a, b] = rows[0] <= columns[0] ? [rows, columns] : [columns, rows];
  return b[0] <= a[1] + 1 ? [[a[0], Math.max(a[1], b[1])]] : [[...a], [...b]];
}

const runText = (sequence: SequenceInfo, [first, last]: Pair): string =>
  residueLabel(sequence, first) + (last > first ? `–${residueLabel(sequence, last)}` : "");

export const blockText = (sequence: SequenceInfo, [rows, columns]: Brush): string => `${runText(sequence, rows)} × ${runText(sequence, columns)}`;
