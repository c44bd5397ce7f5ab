// The numbers of a slice: what it is of, its quantities, its letter orders. The same formulas stand in Python in
// `analysis/operations.centre`, `analysis/summaries.epistasis` and `analysis/accessor.profile`.

import type { ArrayPayload } from "../shared/arrays";
import type { Pair } from "../shared/model";

export type Form = "block" | "profile" | "matrix";
export type Quantity = "raw" | "centred" | "epistasis";

interface Part {
  /** "ready", "waiting" (the row is not computed yet), "masked" or "error". */
  status: string;
  note: string;
  letters_in: string[];
  letters_out: string[];
  values: ArrayPayload | null;
}

/** J[i, :, j, :] as the kernel tells it, by trait or by message. */
export interface BlockPart extends Part {
  pair: Pair;
  /** Whether the Jacobian has more letters than these residues may have; not told by saved notebooks of 0.1. */
  some_letters?: boolean;
}

/** J[i, a, :, :] in planes: itself, the mean of J[i] over its letters, and J[i, w_i] where that is not zero. */
export interface RowPart extends Part {
  pos_in: number;
  aa_in: string;
}

export const MASK = "<mask>";

/** The letter that stands for a choice: a Jacobian of masked residues has only one. */
export const letterPut = (letter: string, lettersIn: string[]): string => (lettersIn.length === 1 && lettersIn[0] === MASK ? MASK : letter);

/** Order letters as `order` has them; those it lacks come last, in the order given. Returns indices. */
export function displayOrder(letters: string[], order: string): number[] {
  const place = (letter: string): number => (order.includes(letter) ? order.indexOf(letter) : order.length);
  return letters.map((_, index) => index).sort((a, b) => place(letters[a]!) - place(letters[b]!) || a - b);
}

/** Rearrange values (row-major) to the given row and column indices. */
export function rearrange(values: ArrayLike<number>, stride: number, rows: number[], columns: number[]): Float32Array {
  return Float32Array.from(rows.flatMap((row) => columns.map((column) => values[row * stride + column]!)));
}

/** The mean of a row without what is NaN. */
function meanOf(values: Float32Array, start: number, columns: number): number {
  let [sum, count] = [0, 0];
  for (let c = 0; c < columns; c++) {
    const value = values[start + c]!;
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return sum / Math.max(count, 1);
}

/** Take off the mean of each row, unless there is one letter only; NaN is a letter that the residue cannot have. */
function centreRows(values: Float32Array, columns: number): Float32Array {
  if (columns < 2) return values;
  for (let start = 0; start < values.length; start += columns) {
    const mean = meanOf(values, start, columns);
    for (let c = 0; c < columns; c++) values[start + c]! -= mean;
  }
  return values;
}

/** A quantity of a block, (letters put) × (letters read); `wild` are the indices of w_i and w_j, −1 where absent. */
export function blockValues(raw: ArrayLike<number>, columns: number, quantity: Quantity, wild: Pair): Float32Array {
  const rows = raw.length / columns;
  const [wildRow, wildColumn] = wild;
  if (quantity === "raw") return Float32Array.from(raw);
  if (quantity === "epistasis") {
    const reference = (r: number): number => (r < 0 ? 0 : raw[r * columns + wildColumn]!);
    return Float32Array.from(raw, (value, k) => {
      const base = wildRow < 0 ? 0 : raw[wildRow * columns + (k % columns)]! - reference(wildRow);
      return value - reference(Math.floor(k / columns)) - base;
    });
  }
  const centred = Float32Array.from(raw);
  if (rows > 1) {
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += raw[r * columns + c]!;
      for (let r = 0; r < rows; r++) centred[r * columns + c]! -= sum / rows;
    }
  }
  return centreRows(centred, columns);
}

/** A quantity of a substitution, residues × letters read; `wild[j]` is the index of w_j, −1 where absent. */
export function rowValues(planes: ArrayLike<number>, shape: number[], quantity: Quantity, wild: number[], lettersIn: number): Float32Array {
  const [count, length, columns] = shape as [number, number, number];
  const size = length * columns;
  const row = Float32Array.from({ length: size }, (_, k) => planes[k]!);
  if (quantity === "raw") return row;
  if (quantity === "centred") {
    // A mean over one letter would leave nothing.
    return centreRows(lettersIn < 2 ? row : row.map((value, k) => value - planes[size + k]!), columns);
  }
  const third = count > 2 ? 2 * size : -1;
  const against = third < 0 ? row : row.map((value, k) => value - planes[third + k]!);
  return against.map((value, k) => {
    const j = Math.floor(k / columns);
    return wild[j]! < 0 ? NaN : value - against[j * columns + wild[j]!]!;
  });
}

/** Along the chain: one column, or the norm of each row with its mean taken off. */
export function profileValues(values: Float32Array, columns: number, column: number): Float32Array {
  const length = values.length / columns;
  if (column >= 0) return Float32Array.from({ length }, (_, j) => values[j * columns + column]!);
  return Float32Array.from({ length }, (_, j) => {
    const mean = meanOf(values, j * columns, columns);
    let squares = 0;
    for (let b = 0; b < columns; b++) {
      const value = values[j * columns + b]!;
      if (!Number.isNaN(value)) squares += (value - mean) ** 2;
    }
    return Math.sqrt(squares);
  });
}

/** Why a quantity cannot be had, or "". */
export function refusal(quantity: Quantity, lettersIn: string[], lettersOut: string[], wildTypes: string): string {
  if (quantity !== "epistasis") return "";
  if (lettersIn.length === 1 && lettersIn[0] === MASK) return "The fast variant masks residues instead of mutating them, so it holds no pairs of mutations.";
  const gone = [...new Set(wildTypes)].filter((letter) => !lettersOut.includes(letter));
  return gone.length ? `There is no logit of the wild-type letter ${gone.join(", ")} to compare with.` : "";
}

export const largestMagnitude = (values: ArrayLike<number>): number => {
  let largest = 0;
  for (let k = 0; k < values.length; k++) if (Math.abs(values[k]!) > largest) largest = Math.abs(values[k]!);
  return largest || 1;
};

/** Where a colour or height scale ends: a percentile of the sizes, leaving out the substituted residue itself. */
export function chainLimit(values: ArrayLike<number>, columns: number, self: number, percentile: number): number {
  const sizes: number[] = [];
  for (let k = 0; k < values.length; k++) {
    if (Math.floor(k / columns) !== self && Number.isFinite(values[k]!)) sizes.push(Math.abs(values[k]!));
  }
  sizes.sort((a, b) => a - b);
  const at = ((sizes.length - 1) * percentile) / 100;
  const limit = sizes.length ? sizes[Math.floor(at)]! + (sizes[Math.ceil(at)]! - sizes[Math.floor(at)]!) * (at % 1) : 0;
  return limit || sizes[sizes.length - 1] || 1;
}

/** Index of the largest size, leaving out the substituted residue itself; −1 where nothing is finite. */
export function strongest(values: ArrayLike<number>, columns: number, self: number): number {
  let found = -1;
  for (let k = 0; k < values.length; k++) {
    if (Math.floor(k / columns) === self || !Number.isFinite(values[k]!)) continue;
    if (found < 0 || Math.abs(values[k]!) > Math.abs(values[found]!)) found = k;
  }
  return found;
}

/**
 * The strongest value of each line under each of `target` pixels of the residues in sight, lines × target: where
 * residues are narrower than pixels none may fall between them. `values` are residues × lines.
 */
export function poolStrongest(values: ArrayLike<number>, lines: number, start: number, span: number, target: number): Float32Array {
  const pooled = new Float32Array(lines * target).fill(NaN);
  const length = values.length / lines;
  for (let t = 0; t < target; t++) {
    const first = Math.max(0, Math.floor(start + (t * span) / target));
    const last = Math.min(length, Math.max(first + 1, Math.floor(start + ((t + 1) * span) / target)));
    for (let line = 0; line < lines; line++) {
      let best = NaN;
      for (let j = first; j < last; j++) {
        const value = values[j * lines + line]!;
        if (!(Math.abs(value) <= Math.abs(best))) best = Number.isNaN(value) ? best : value;
      }
      pooled[line * target + t] = best;
    }
  }
  return pooled;
}

export interface Choice {
  form: Form;
  quantity: Quantity;
  /** "" for the norm over the letters; for a profile only. */
  letterOut: string;
  /** Letters in the order to show; what it lacks comes last. */
  order: string;
  residues: string;
}

export interface BlockNumbers {
  /** Letters in the order shown. */
  rows: string[];
  columns: string[];
  values: Float32Array;
}

export interface ChainNumbers {
  /** Residues × columns: the letters of a matrix, the one line of a profile. */
  values: Float32Array;
  columns: number;
  letters: string[] | null;
}

/** What is shown of a block; without a pair (a mean over several) there is no wild type. */
export function blockNumbers(part: Pick<BlockPart, "letters_in" | "letters_out"> & { pair?: Pair }, raw: ArrayLike<number>, choice: Choice): BlockNumbers {
  const { letters_in: put, letters_out: read, pair = [0, 0] } = part;
  const [rows, columns] = [displayOrder(put, choice.order), displayOrder(read, choice.order)];
  const [wildRow, wildColumn] = pair.map((position) => choice.residues[position - 1] ?? "") as [string, string];
  const values = blockValues(raw, read.length, choice.quantity, [put.indexOf(wildRow), read.indexOf(wildColumn)]);
  return { rows: rows.map((row) => put[row]!), columns: columns.map((column) => read[column]!), values: rearrange(values, read.length, rows, columns) };
}

/** What is shown of a substitution along the chain. */
export function chainNumbers(part: RowPart, planes: ArrayLike<number>, shape: number[], choice: Choice): ChainNumbers {
  const read = part.letters_out;
  const wild = [...choice.residues].map((letter) => read.indexOf(letter));
  const values = rowValues(planes, shape, choice.quantity, wild, part.letters_in.length);
  if (choice.form === "profile") return { values: profileValues(values, read.length, read.indexOf(choice.letterOut)), columns: 1, letters: null };
  const columns = displayOrder(read, choice.order);
  const residues = Array.from({ length: shape[1]! }, (_, j) => j);
  return { values: rearrange(values, read.length, residues, columns), columns: columns.length, letters: columns.map((column) => read[column]!) };
}
