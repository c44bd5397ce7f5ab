// What the sequence track says of the mask and of the residues under the pointer.

import { countVisible, fragmentAt, showsAll, type Fragment } from "../shared/fragments";
import type { Pair, SequenceInfo } from "../shared/model";
import { residueLabel } from "../shared/text";

/** Fragments that are named; of more only the count is said. */
const MOST_IN_WORDS = 5;

/** "21 of 58 residues visible · 12–22, 40–49". */
export function maskText(sequence: SequenceInfo, fragments: Fragment[]): string {
  const { length } = sequence.residues;
  if (showsAll(fragments, length)) return `all ${length} residues visible · drag along the letters to mask all but that stretch`;
  if (!fragments.length) return `all ${length} residues masked · drag along the letters to show a stretch`;
  const several = sequence.chains.length > 1;
  const number = (position: number): string => (several ? residueLabel(sequence, position) : (sequence.numbers[position - 1] ?? String(position)));
  const runs = fragments.slice(0, MOST_IN_WORDS).map(([first, last]) => (first === last ? number(first) : `${number(first)}–${number(last)}`));
  const more = fragments.length > MOST_IN_WORDS ? ` and ${fragments.length - MOST_IN_WORDS} more` : "";
  return `${countVisible(fragments)} of ${length} residues visible · ${runs.join(", ")}${more}`;
}

/** "K24 masked · E61 visible". */
export const pointedText = (sequence: SequenceInfo, pair: Pair, fragments: Fragment[]): string =>
  [...new Set(pair)].map((position) => `${residueLabel(sequence, position)} ${fragmentAt(fragments, position) < 0 ? "masked" : "visible"}`).join(" · ");
