// The slice that is shown as one line of Python, for somebody who has the Jacobian as `J`.

import type { Brush } from "../shared/brush";
import type { Pair } from "../shared/model";
import type { Form, Quantity } from "./values";

export interface SliceChoice {
  form: Form;
  pair: Pair;
  letterIn: string;
  /** "" for the norm over the letters. */
  letterOut: string;
  quantity: Quantity;
  /** Letters in the order shown; null where that is the model's own. */
  lettersIn: string[] | null;
  lettersOut: string[] | null;
}

/** `list("AFIL…")`, or a list written out where a letter has more than one character. */
const listOf = (letters: string[]): string =>
  letters.every((letter) => letter.length === 1) ? `list(${JSON.stringify(letters.join(""))})` : `[${letters.map((letter) => JSON.stringify(letter)).join(", ")}]`;

/** A quantity of a part of the Jacobian. */
const worked = (quantity: Quantity, part: string): string =>
  quantity === "raw" ? part : quantity === "centred" ? `catjac.centre(${part}, ["aa_in", "aa_out"])` : `catjac.epistasis(${part})`;

/** What is selected from; a list keeps the axis pos_in, which these functions want. */
const source = (quantity: Quantity, i: number): string => (quantity === "raw" ? "J" : worked(quantity, `J.sel(pos_in=[${i}])`));

/** The mean over the pairs i ≠ j of a brushed block; rows that are not there are NaN and do not count. */
export function meanLine([rows, columns]: Brush, { quantity, lettersIn, lettersOut }: Omit<SliceChoice, "pair">): string {
  const part = `J.sel(pos_in=slice(${rows.join(", ")}), pos_out=slice(${columns.join(", ")}))`;
  const orders = [lettersIn && `aa_in=${listOf(lettersIn)}`, lettersOut && `aa_out=${listOf(lettersOut)}`].filter(Boolean).join(", ");
  const mean = `${worked(quantity, part)}.where(J.pos_in != J.pos_out).mean(["pos_in", "pos_out"])`;
  return orders ? `${mean}.sel(${orders})` : mean;
}

export function pythonLine(choice: SliceChoice): string {
  const [i, j] = choice.pair;
  const from = source(choice.quantity, i);
  const put = JSON.stringify(choice.letterIn);
  if (choice.form === "profile") {
    return choice.letterOut ? `${from}.sel(pos_in=${i}, aa_in=${put}, aa_out=${JSON.stringify(choice.letterOut)})` : `${from}.catjac.profile(${i}, ${put})`;
  }
  const parts = [`pos_in=${i}`, choice.form === "block" ? `pos_out=${j}` : `aa_in=${put}`];
  if (choice.form === "block" && choice.lettersIn) parts.push(`aa_in=${listOf(choice.lettersIn)}`);
  if (choice.lettersOut) parts.push(`aa_out=${listOf(choice.lettersOut)}`);
  return `${from}.sel(${parts.join(", ")})`;
}
