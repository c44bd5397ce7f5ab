// Pairs of residues, 1-based: reading them from a trait, moving them with the keyboard.

import type { Model, Pair, SequenceInfo } from "./model";
import { residueLabel } from "./text";

/** A pair from a trait's value; null for anything that is not two positions within 1 … `length`. */
export function readPair(value: unknown, length: number): Pair | null {
  if (!Array.isArray(value) || value.length !== 2) return null;
  const [i, j] = value as [unknown, unknown];
  const good = (position: unknown): position is number =>
    typeof position === "number" && Number.isInteger(position) && position >= 1 && position <= length;
  return good(i) && good(j) ? [i, j] : null;
}

export const samePair = (a: Pair | null, b: Pair | null): boolean =>
  a === b || (a !== null && b !== null && a[0] === b[0] && a[1] === b[1]);

/** Where an arrow key takes the selection (ten residues with `far`); null for other keys. */
export function movePair(pair: Pair | null, key: string, far: boolean, length: number): Pair | null {
  const moves: Record<string, Pair> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const move = moves[key];
  if (!move || length < 1) return null;
  if (!pair) return [1, Math.min(length, 2)];
  const stay = (position: number): number => Math.min(length, Math.max(1, position));
  return [stay(pair[0] + move[0] * (far ? 10 : 1)), stay(pair[1] + move[1] * (far ? 10 : 1))];
}

/** Runs of residues from a trait's value; those not within 1 … `length` are left out. */
export function readRuns(value: unknown, length: number): Pair[] {
  if (!Array.isArray(value)) return [];
  return value.map((run) => readPair(run, length)).filter((run): run is Pair => run !== null && run[0] <= run[1]);
}

/** "K24", "K24–E31", "K24–E31, D40". */
export const runsText = (sequence: SequenceInfo, runs: Pair[]): string =>
  runs
    .map(([first, last]) => residueLabel(sequence, first) + (last > first ? `–${residueLabel(sequence, last)}` : ""))
    .join(", ");

/** Choose a pair, or none; a block that was brushed is let go, so that what was chosen last is what is shown. */
export function choosePair(state: Model, pair: Pair | null): void {
  state.set("selection", pair);
  if (state.get("brush")) state.set("brush", null);
  state.save_changes();
}

/** What a click on one residue means: it is chosen, or let go if it was; with `pair`, it and the one before are the pair. */
export function clickResidue(state: Model, position: number, pair: boolean): void {
  const runs = state.get<Pair[] | null>("residues") ?? [];
  const only = runs.length === 1 && runs[0]![0] === runs[0]![1] ? runs[0]![0] : null;
  if (pair && only !== null && only !== position) return choosePair(state, [only, position]);
  state.set("residues", only === position ? [] : [[position, position]]);
  state.save_changes();
}
