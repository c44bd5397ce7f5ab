// Numbers of a brushed block: its mean in either triangle, and the native contacts in it.

import type { Brush } from "../shared/brush";
import { farEnough } from "./scores";

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
