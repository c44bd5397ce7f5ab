// How the sequence track is drawn on its canvas; nothing here knows of traits.

import type { Theme } from "../shared/canvas";
import { parseCss, readable } from "../shared/colour";
import type { Pair, SequenceInfo } from "../shared/model";
import { boxesOf, lineOf, residueX, ROW, type TrackLayout } from "./layout";

export interface TrackPicture {
  context: CanvasRenderingContext2D;
  theme: Theme;
  sequence: SequenceInfo;
  layout: TrackLayout;
}

const STEPS = [5, 10, 20, 50];

/** Letters, dim and hatched where masked; residue numbers above them; chain names at the left. */
export function drawLetters(picture: TrackPicture, masked: boolean[]): void {
  const { context, theme, sequence, layout } = picture;
  const { cell } = layout;
  hatch(picture, masked);
  const step = STEPS.find((candidate) => candidate * cell >= 46) ?? 50;
  context.textBaseline = "middle";
  for (const line of layout.lines) {
    const middle = line.top + ROW.numbers + ROW.letters / 2 + 0.5;
    context.textAlign = "center";
    for (let position = line.first; position <= line.last; position++) {
      const x = residueX(layout, line, position) + cell / 2;
      const hidden = masked[position - 1];
      context.font = `${hidden ? 400 : 600} ${Math.min(13, cell)}px ${theme.font}`;
      context.fillStyle = hidden ? theme.soft : theme.ink;
      context.globalAlpha = hidden ? 0.75 : 1;
      context.fillText(sequence.residues[position - 1]!, x, middle);
    }
    context.globalAlpha = 1;
    context.font = `10px ${theme.font}`;
    context.fillStyle = theme.soft;
    let free = -Infinity;
    for (let position = line.first; position <= line.last; position++) {
      const text = sequence.numbers[position - 1] ?? "";
      if (!isRound(text, step) && (position !== line.first || roundWithin(sequence, position + 1, line.last, step))) continue;
      const x = residueX(layout, line, position) + cell / 2;
      const half = context.measureText(text).width / 2;
      if (x - half < free) continue;
      context.fillText(text, Math.max(half, x), line.top + ROW.numbers / 2);
      free = x + half + 6;
    }
    const [name, begin] = sequence.chains[line.chain]!;
    if (sequence.chains.length > 1 && begin === line.first) {
      context.font = `600 12px ${theme.font}`;
      context.fillStyle = theme.ink;
      context.textAlign = "left";
      context.fillText(name.length > 3 ? `${name.slice(0, 2)}…` : name, 4, middle);
    }
  }
}

const isRound = (number: string, step: number): boolean => /^-?\d+$/.test(number) && Number(number) % step === 0;

/** Whether one of the next few residues has a round number: then the first of a line goes without. */
const roundWithin = (sequence: SequenceInfo, first: number, last: number, step: number): boolean =>
  sequence.numbers.slice(first - 1, Math.min(last, first + 1)).some((number) => isRound(number, step));

function hatch({ context, theme, layout }: TrackPicture, masked: boolean[]): void {
  const region = new Path2D();
  let any = false;
  for (let first = 0; first < masked.length; first++) {
    if (!masked[first]) continue;
    let last = first;
    while (last + 1 < masked.length && masked[last + 1]) last++;
    for (const box of boxesOf(layout, [first + 1, last + 1])) region.rect(box.x, box.y, box.width, box.height);
    any = true;
    first = last;
  }
  if (!any) return;
  context.save();
  context.clip(region);
  context.strokeStyle = theme.soft;
  context.globalAlpha = 0.3;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = -layout.height; at < layout.width; at += 7) {
    context.moveTo(at, layout.height);
    context.lineTo(at + layout.height, 0);
  }
  context.stroke();
  context.restore();
}

/** The pair under the pointer (outlined), the selected one (filled), and single residues chosen elsewhere (underlined). */
export function drawLinks(picture: TrackPicture, hover: Pair | null, selection: Pair | null, chosen: readonly (readonly [number, number])[]): void {
  const { context, theme, sequence, layout } = picture;
  context.fillStyle = theme.accent;
  for (const run of chosen) for (const box of boxesOf(layout, run)) context.fillRect(box.x + 1, box.y + box.height + 1, box.width - 2, 3);
  const place = (position: number): [number, number] | null => {
    const line = lineOf(layout, position);
    return line ? [residueX(layout, line, position), line.top + ROW.numbers] : null;
  };
  for (const position of new Set(selection ?? [])) {
    const at = place(position);
    if (!at) continue;
    context.fillStyle = theme.accent;
    context.beginPath();
    context.roundRect(at[0] + 0.5, at[1] + 2, layout.cell - 1, ROW.letters - 4, 3);
    context.fill();
    context.fillStyle = readable(parseCss(theme.accent) ?? theme.surface);
    context.font = `600 ${Math.min(13, layout.cell)}px ${theme.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(sequence.residues[position - 1]!, at[0] + layout.cell / 2, at[1] + ROW.letters / 2 + 0.5);
  }
  for (const position of new Set(hover ?? [])) {
    const at = place(position);
    if (!at) continue;
    context.strokeStyle = theme.ink;
    context.lineWidth = 1.5;
    context.beginPath();
    context.roundRect(at[0] + 0.75, at[1] + 1.75, layout.cell - 1.5, ROW.letters - 3.5, 3);
    context.stroke();
  }
}
