// Pure parts of the structure: whose atom that is, which lines are drawn, what a click means.

import type { Pair } from "../shared/model";

/** First atom of each position and one beyond its last, row-major (L, 2); −1 where the residue is not resolved. */
export type Atoms = ArrayLike<number>;

/** 1-based position of an atom (counted from 0); null for one of a residue that the sequence does not have. */
export function positionOf(atoms: Atoms, atom: number): number | null {
  for (let k = 0; 2 * k < atoms.length; k++) if (atoms[2 * k]! >= 0 && atoms[2 * k]! <= atom && atom < atoms[2 * k + 1]!) return k + 1;
  return null;
}

export const isResolved = (atoms: Atoms, position: number): boolean => (atoms[2 * (position - 1)] ?? -1) >= 0;

/** The atoms of some positions in the viewer's words: "@4,5,6"; "none" where there is none. */
export function selectionText(atoms: Atoms, positions: Iterable<number>): string {
  const found: number[] = [];
  for (const position of new Set(positions)) {
    if (!isResolved(atoms, position)) continue;
    for (let atom = atoms[2 * (position - 1)]!; atom < atoms[2 * (position - 1) + 1]!; atom++) found.push(atom);
  }
  return found.length ? `@${found.join(",")}` : "none";
}

/** Every position that runs and a pair name, ascending, each once. */
export function positionsOf(runs: readonly Pair[], pair: Pair | null): number[] {
  const found = new Set<number>(pair ?? []);
  for (const [first, last] of runs) for (let position = first; position <= last; position++) found.add(position);
  return [...found].sort((a, b) => a - b);
}

/** A B-factor for each atom: 0 … 100 by its residue's shade, −25 where that is not known. */
export function shadesOfAtoms(atoms: Atoms, shades: ArrayLike<number>, target: { length: number; [atom: number]: number }): void {
  for (let atom = 0; atom < target.length; atom++) target[atom] = -25;
  for (let k = 0; 2 * k < atoms.length; k++) {
    const shade = shades[k]!;
    if (Number.isNaN(shade)) continue;
    for (let atom = Math.max(0, atoms[2 * k]!); atom < atoms[2 * k + 1]!; atom++) target[atom] = 100 * shade;
  }
}

export interface Line {
  pair: Pair;
  /** True in contact, false not, null not known. */
  contact: boolean | null;
}

/**
 * The `count` best of the pairs (n, 3; best first) that are at least `separation` apart along one chain, or of two.
 */
export function linesOf(pairs: ArrayLike<number>, chain: ArrayLike<number>, separation: number, count: number): Line[] {
  const lines: Line[] = [];
  for (let k = 0; k < pairs.length && lines.length < count; k += 3) {
    const [i, j, truth] = [pairs[k]!, pairs[k + 1]!, pairs[k + 2]!];
    if (chain[i - 1] === chain[j - 1] && j - i < separation) continue;
    lines.push({ pair: [i, j], contact: truth < 0 ? null : truth > 0 });
  }
  return lines;
}

/** How many positions stand somewhere; `points` is row-major (L, 3). */
export const countPlaced = (points: ArrayLike<number>): number => {
  let found = 0;
  for (let k = 0; k < points.length; k += 3) if (Number.isFinite(points[k]!)) found++;
  return found;
};

/** What a click on a residue makes of what is chosen: the second of two becomes the pair with the first. */
export function clicked(residues: readonly Pair[], position: number): { residues: Pair[]; selection?: Pair } {
  const only = residues.length === 1 && residues[0]![0] === residues[0]![1] ? residues[0]![0] : null;
  if (only === position) return { residues: [] };
  if (only !== null) return { residues: [], selection: [only, position] };
  return { residues: [[position, position]] };
}
