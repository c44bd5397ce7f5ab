// What the maps in the two triangles say of a pair and of a brushed block, as parts of one line.

import type { Brush } from "../shared/brush";
import { maskedResidues } from "../shared/geometry";
import type { Pair, SequenceInfo } from "../shared/model";
import { number, pairText, quantityText } from "../shared/text";
import { blockContacts, blockMean } from "./block_summary";
import type { Ground } from "./contacts";
import type { Layer } from "./layers";

/** The maps above and below the diagonal; one object where both show the same. */
export type Layers = readonly [Layer | null, Layer | null];

/** "K24 – E61", its value in each map, the separation, whether it is a native contact. */
export function pairParts(ground: Ground, sequence: SequenceInfo, [upper, lower]: Layers, mask: Pair[] | null, pair: Pair, spoken = false): string[] {
  const { native, length } = ground;
  const [i, j] = [pair[0] - 1, pair[1] - 1];
  const here = j >= i ? upper : lower;
  const at = (layer: Layer, mirrored: boolean): number => layer.values.values[mirrored ? j * length + i : i * length + j]!;
  const parts = pairText(sequence, pair, here ? quantityText(here.quantity) : "", here ? at(here, false) : null);
  const masked = maskedResidues(mask, length);
  if (here?.underMask && Number.isNaN(at(here, false)) && pair.some((position) => masked[position - 1])) parts[1] = "masked";
  if (upper !== lower && i !== j) {
    // Of two maps both are read: the one under the pointer as it is, the other across the diagonal.
    const said = (layer: Layer | null, name: string): string[] => (layer ? [`${name} ${number(at(layer, layer !== here))}`] : []);
    parts.splice(1, 1, ...said(upper, spoken ? `above ${upper?.label}` : "◥"), ...said(lower, spoken ? `below ${lower?.label}` : "◣"));
  }
  const known = native?.[i * length + j];
  if (known !== undefined && i !== j) parts.push(known === 1 ? "native contact" : known === 2 ? "not resolved" : "no native contact");
  return parts;
}

/** "12 pairs · mean score 0.42 · 3 native contacts". */
export function blockParts({ native, length, chain, separation }: Ground, [upper, lower]: Layers, brush: Brush): string[] {
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
