// A brush: the block of pairs that somebody dragged over the map. Runs of rows and of columns, 1-based, ends included.

import type { Layer } from "./map_layers";
import type { Pair, SequenceInfo } from "./model";
import { farEnough } from "./scores";
import { number, quantityText, residueLabel } from "./text";

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

/** The cells of a block that lie above the diagonal, below it, or both; the diagonal itself is no pair. */
function eachCell([[i0, i1], [j0, j1]]: Brush, above: boolean, below: boolean, visit: (i: number, j: number) => void): void {
  for (let i = i0 - 1; i < i1; i++) {
    for (let j = j0 - 1; j < j1; j++) if (i < j ? above : i > j && below) visit(i, j);
  }
}

export interface BlockMean {
  /** Pairs with a value. */
  pairs: number;
  mean: number;
}

export function blockMean(values: ArrayLike<number>, length: number, brush: Brush, above = true, below = true): BlockMean {
  let [sum, pairs] = [0, 0];
  eachCell(brush, above, below, (i, j) => {
    const value = values[i * length + j]!;
    if (value !== value) return;
    sum += value;
    pairs++;
  });
  return { pairs, mean: pairs ? sum / pairs : NaN };
}

/** How many native contacts lie in a block, each pair once, and counted only where far enough along the chain. */
export function blockContacts(native: ArrayLike<number>, length: number, brush: Brush, chain: Uint8Array, separation: number): number {
  const [[i0, i1], [j0, j1]] = brush;
  const holds = (i: number, j: number): boolean => i >= i0 - 1 && i < i1 && j >= j0 - 1 && j < j1;
  let count = 0;
  eachCell(brush, true, true, (i, j) => {
    if (native[i * length + j] !== 1 || !farEnough(i, j, chain, separation)) return;
    if (i < j || !holds(j, i)) count++;
  });
  return count;
}

const runText = (sequence: SequenceInfo, [first, last]: Pair): string =>
  residueLabel(sequence, first) + (last > first ? `–${residueLabel(sequence, last)}` : "");

export const blockText = (sequence: SequenceInfo, [rows, columns]: Brush): string => `${runText(sequence, rows)} × ${runText(sequence, columns)}`;

/** "12 pairs · mean score 0.42 · 3 native contacts": what the maps in the triangles say of a block. */
export function blockParts(brush: Brush, length: number, layers: [Layer | null, Layer | null], native: ArrayLike<number> | null, chain: Uint8Array, separation: number): string[] {
  const [upper, lower] = layers;
  const said = (layer: Layer | null, above: boolean, below: boolean, corner: string): [number, string] => {
    const { pairs, mean } = layer ? blockMean(layer.values.values, length, brush, above, below) : { pairs: 0, mean: NaN };
    return [pairs, pairs ? `${corner}mean ${quantityText(layer!.quantity)} ${number(mean)}` : ""];
  };
  const sides = upper === lower ? [said(upper, true, true, "")] : [said(upper, true, false, "◥ "), said(lower, false, true, "◣ ")];
  const pairs = sides.reduce((sum, [count]) => sum + count, 0);
  const parts = [pairs === 1 ? "1 pair" : pairs ? `${pairs} pairs` : "no pair with a value", ...sides.map(([, text]) => text).filter(Boolean)];
  if (native) {
    const contacts = blockContacts(native, length, brush, chain, separation);
    parts.push(contacts === 1 ? "1 native contact" : `${contacts} native contacts`);
  }
  return parts;
}
