// What the slice view says of itself and of the cell under the pointer.

import type { SequenceInfo } from "../shared/model";
import { number, residueLabel, signed } from "../shared/text";
import { MASK, type Form, type Quantity } from "./values";

export interface Cell {
  /** 1-based: where a is put, where b is read. */
  pair: [number, number];
  letterIn: string;
  /** "" for the norm over the letters. */
  letterOut: string;
  value: number;
  quantity: Quantity;
  /** Whether the model did not see the residue that is read. */
  masked: boolean;
}

/** "K24A", or "K24 masked". */
export const mutant = (sequence: SequenceInfo, position: number, letter: string): string =>
  letter === MASK ? `${residueLabel(sequence, position)} masked` : `${residueLabel(sequence, position)}${letter}`;

/** "K24A → logit of D at E61: +0.42". */
export function cellText(sequence: SequenceInfo, cell: Cell): string {
  const [i, j] = cell.pair;
  const there = residueLabel(sequence, j);
  const wild = sequence.residues[j - 1] ?? "?";
  const read = {
    raw: `logit of ${cell.letterOut} at ${there}`,
    centred: `centred logit of ${cell.letterOut} at ${there}`,
    epistasis: `log-odds of ${cell.letterOut} over ${wild} at ${there}`,
  }[cell.quantity];
  const value = cell.letterOut ? `${read}: ${signed(cell.value)}` : `${there}: ${number(cell.value)} logits over all letters`;
  const remarks = [cell.masked ? "masked" : "", i === j ? "the residue itself" : ""].filter(Boolean);
  return `${mutant(sequence, i, cell.letterIn)} → ${value}${remarks.length ? ` (${remarks.join(", ")})` : ""}`;
}

/** "A → logit of D: mean +0.42", where several pairs are one. */
export const meanText = ({ letterIn, letterOut, value, quantity }: Omit<Cell, "pair" | "masked">): string =>
  `${letterIn === MASK ? "masked" : letterIn} → ${quantity === "centred" ? "centred " : ""}logit of ${letterOut}: mean ${signed(value)}`;

/** What the numbers are, in one line. */
export function captionText(form: Form, quantity: Quantity, letterOut: string, masks: boolean, kind: string): string {
  const base = masks ? "masked − wild type" : "mutant − wild type";
  const norm = form === "profile" && !letterOut ? ": norm over all letters" : "";
  if (kind) return `a Jacobian that is ${kind}${norm}`;
  const what = {
    raw: `change of the logits, ${base}`,
    centred: masks ? `change of the logits, ${base}, centred over the letters read` : "change of the logits, centred over both letter axes",
    epistasis: "conditional log-odds, against the wild type where it is read",
  }[quantity];
  return what + norm;
}
