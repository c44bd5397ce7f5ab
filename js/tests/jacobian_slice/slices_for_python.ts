// Numbers and lines of many slices, for a test in Python that compares them with its own: JSON in, JSON out.

import { readFileSync } from "node:fs";
import { pythonLine } from "../../src/jacobian_slice/python_line";
import { blockNumbers, chainNumbers, displayOrder, type Form, type Quantity } from "../../src/jacobian_slice/values";

interface Question {
  pair: [number, number];
  letter: string;
  lettersIn: string[];
  lettersOut: string[];
  residues: string;
  block: number[];
  planes: number[];
  shape: number[];
  orders: Record<string, string>;
  choices: { form: Form; quantity: Quantity; order: string; letterOut: string }[];
}

const question = JSON.parse(readFileSync(0, "utf8")) as Question;
const { pair, lettersIn, lettersOut, residues } = question;
const part = { status: "ready", note: "", letters_in: lettersIn, letters_out: lettersOut, values: null };

const answers = question.choices.map(({ form, quantity, order, letterOut }) => {
  const choice = { form, quantity, letterOut, order: question.orders[order]!, residues };
  const sorted = (letters: string[]): string[] => displayOrder(letters, choice.order).map((k) => letters[k]!);
  const changed = (letters: string[]): string[] | null => (sorted(letters).join() === letters.join() ? null : sorted(letters));
  const line = pythonLine({ form, pair, letterIn: question.letter, letterOut, quantity, lettersIn: changed(lettersIn), lettersOut: changed(lettersOut) });
  if (form === "block") {
    const { rows, columns, values } = blockNumbers({ ...part, pair }, question.block, choice);
    return { line, rows, columns, values: [...values] };
  }
  const { letters, values } = chainNumbers({ ...part, pos_in: pair[0], aa_in: question.letter }, Float32Array.from(question.planes), question.shape, choice);
  return { line, rows: null, columns: letters, values: [...values] };
});
process.stdout.write(JSON.stringify(answers));
