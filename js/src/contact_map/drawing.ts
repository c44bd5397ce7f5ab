// How the contact map is drawn on its two canvases; nothing here knows of traits.

import type { Brush } from "../shared/brush";
import type { Theme } from "../shared/canvas";
import { cssColour, parseCss, readable } from "../shared/colour";
import { chainStarts, edge, ticks, type Sight } from "../shared/geometry";
import type { Pair, SequenceInfo } from "../shared/model";
import { residueLabel } from "../shared/text";
import type { Side } from "./shades";

export const MARGIN = { left: 46, top: 6, right: 6, bottom: 34 };

export interface Frame {
  context: CanvasRenderingContext2D;
  theme: Theme;
  sequence: SequenceInfo;
  sight: Sight;
  /** Side of the square plot in CSS pixels. */
  size: number;
}

const columnX = (frame: Frame, cell: number): number => MARGIN.left + edge(cell, frame.sight.x, frame.sight, frame.size);
const rowY = (frame: Frame, cell: number): number => MARGIN.top + edge(cell, frame.sight.y, frame.sight, frame.size);

function clipToPlot(frame: Frame): void {
  frame.context.beginPath();
  frame.context.rect(MARGIN.left, MARGIN.top, frame.size, frame.size);
  frame.context.clip();
}

/** Residue numbers along both sides, letters where there is room, chain names beside their stretch. */
export function drawAxes(frame: Frame): void {
  const { context, theme, sequence, sight, size } = frame;
  const cell = size / sight.span;
  context.save();
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(MARGIN.left - 0.5, MARGIN.top - 0.5, size + 1, size + 1);
  context.fillStyle = theme.soft;
  context.strokeStyle = theme.soft;
  context.font = `11px ${theme.font}`;
  const letters = cell >= 11;
  const offset = letters ? 15 : 6;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const { index, text } of ticks(sequence, sight.y, sight, size, 26)) {
    const y = rowY(frame, index + 0.5);
    if (y < MARGIN.top || y > MARGIN.top + size) continue;
    if (!letters) context.fillRect(MARGIN.left - 5, Math.round(y) - 0.5, 4, 1);
    context.fillText(text, MARGIN.left - offset - 2, y);
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const { index, text } of ticks(sequence, sight.x, sight, size, 34)) {
    const x = columnX(frame, index + 0.5);
    if (x < MARGIN.left || x > MARGIN.left + size) continue;
    if (!letters) context.fillRect(Math.round(x) - 0.5, MARGIN.top + size + 1, 1, 4);
    // The last number stands at the map's end, where there is little room beside it.
    const most = MARGIN.left + size + MARGIN.right - context.measureText(text).width / 2;
    context.fillText(text, Math.min(x, most), MARGIN.top + size + offset);
  }
  if (letters) {
    context.font = `${Math.min(11, cell)}px ${theme.font}`;
    for (let index = Math.floor(sight.x); index < Math.min(sequence.residues.length, sight.x + sight.span); index++) {
      const x = columnX(frame, index + 0.5);
      if (x > MARGIN.left && x < MARGIN.left + size) context.fillText(sequence.residues[index]!, x, MARGIN.top + size + 3);
    }
    context.textBaseline = "middle";
    for (let index = Math.floor(sight.y); index < Math.min(sequence.residues.length, sight.y + sight.span); index++) {
      const y = rowY(frame, index + 0.5);
      if (y > MARGIN.top && y < MARGIN.top + size) context.fillText(sequence.residues[index]!, MARGIN.left - 9, y);
    }
  }
  context.restore();
}

/** Lines where one chain ends and the next begins, and each chain's name along the diagonal. */
export function drawChains(frame: Frame): void {
  const { context, theme, sequence } = frame;
  if (sequence.chains.length < 2) return;
  context.save();
  clipToPlot(frame);
  context.strokeStyle = theme.ink;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.setLineDash([5, 3]);
  for (const start of chainStarts(sequence)) {
    const x = Math.round(columnX(frame, start)) + 0.5;
    const y = Math.round(rowY(frame, start)) + 0.5;
    context.beginPath();
    context.moveTo(x, MARGIN.top);
    context.lineTo(x, MARGIN.top + frame.size);
    context.moveTo(MARGIN.left, y);
    context.lineTo(MARGIN.left + frame.size, y);
    context.stroke();
  }
  context.globalAlpha = 0.8;
  context.fillStyle = theme.ink;
  context.font = `600 12px ${theme.font}`;
  context.textAlign = "left";
  context.textBaseline = "top";
  for (const [name, first] of sequence.chains) {
    context.fillText(name, columnX(frame, first - 1) + 5, rowY(frame, first - 1) + 4);
  }
  context.restore();
}

/** Chosen residues (runs, 1-based): a faint band across the map and a bar along both axes. */
export function drawResidues(frame: Frame, runs: [number, number][]): void {
  const { context, theme, size } = frame;
  context.save();
  clipToPlot(frame);
  context.fillStyle = theme.accent;
  for (const [first, last] of runs) {
    const [x0, x1] = [columnX(frame, first - 1), columnX(frame, last)];
    const [y0, y1] = [rowY(frame, first - 1), rowY(frame, last)];
    context.globalAlpha = 0.12;
    context.fillRect(x0, MARGIN.top, x1 - x0, size);
    context.fillRect(MARGIN.left, y0, size, y1 - y0);
    context.globalAlpha = 1;
    context.fillRect(x0, MARGIN.top + size - 3, x1 - x0, 3);
    context.fillRect(MARGIN.left, y0, 3, y1 - y0);
  }
  context.restore();
}

/** The part of the plot above or below the map's diagonal. */
function triangle(frame: Frame, side: Side): Path2D {
  const last = frame.sequence.residues.length;
  const path = new Path2D();
  const [x0, y0, x1, y1] = [columnX(frame, 0), rowY(frame, 0), columnX(frame, last), rowY(frame, last)];
  path.moveTo(x0, y0);
  if (side !== "upper") path.lineTo(x0, y1);
  path.lineTo(x1, y1);
  if (side !== "lower") path.lineTo(x1, y0);
  path.closePath();
  return path;
}

/** Where two maps meet. */
export function drawDiagonal(frame: Frame): void {
  const { context, theme } = frame;
  const last = frame.sequence.residues.length;
  context.save();
  clipToPlot(frame);
  context.strokeStyle = theme.soft;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(columnX(frame, 0), rowY(frame, 0));
  context.lineTo(columnX(frame, last), rowY(frame, last));
  context.stroke();
  context.restore();
}

/** A block of pairs: a frame with a faint ground; dashed while it is dragged in order to zoom. */
export function drawBlock(frame: Frame, [rows, columns]: Brush, zoom: boolean): void {
  const { context, theme } = frame;
  const [x, y] = [columnX(frame, columns[0] - 1), rowY(frame, rows[0] - 1)];
  const [width, height] = [columnX(frame, columns[1]) - x, rowY(frame, rows[1]) - y];
  context.save();
  clipToPlot(frame);
  context.fillStyle = context.strokeStyle = zoom ? theme.ink : theme.accent;
  context.globalAlpha = 0.1;
  context.fillRect(x, y, width, height);
  context.globalAlpha = 1;
  if (zoom) context.setLineDash([4, 3]);
  else {
    context.fillRect(x, MARGIN.top + frame.size - 3, width, 3);
    context.fillRect(MARGIN.left, y, 3, height);
  }
  context.lineWidth = 1.5;
  context.strokeRect(x, y, width, height);
  context.restore();
}

/** Rows and columns of masked residues, hatched: there the model saw nothing. Only where the map is under that mask. */
export function drawMasked(frame: Frame, masked: boolean[], side: Side): void {
  if (!masked.some(Boolean)) return;
  const { context, theme, size } = frame;
  context.save();
  clipToPlot(frame);
  if (side !== "both") context.clip(triangle(frame, side));
  const region = new Path2D();
  for (let start = 0; start < masked.length; start++) {
    if (!masked[start]) continue;
    let end = start;
    while (end < masked.length && masked[end]) end++;
    const [x0, x1] = [columnX(frame, start), columnX(frame, end)];
    const [y0, y1] = [rowY(frame, start), rowY(frame, end)];
    region.rect(x0, MARGIN.top, x1 - x0, size);
    region.rect(MARGIN.left, y0, size, y1 - y0);
    start = end;
  }
  context.clip(region);
  context.strokeStyle = theme.soft;
  context.globalAlpha = 0.35;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = -size; at < size; at += 7) {
    context.moveTo(MARGIN.left + at, MARGIN.top + size);
    context.lineTo(MARGIN.left + at + size, MARGIN.top);
  }
  context.stroke();
  context.restore();
}

/** Below that many pixels a cell's mark is a speck: thousands of rims would hide the map, and take long to draw. */
const SMALL_CELL = 2.5;

function drawSpecks(frame: Frame, cells: [number, number][], colour: string): void {
  const { context } = frame;
  context.save();
  clipToPlot(frame);
  context.fillStyle = colour;
  context.globalAlpha = 0.8;
  for (const [row, column] of cells) context.fillRect(columnX(frame, column + 0.5) - 0.75, rowY(frame, row + 0.5) - 0.75, 1.5, 1.5);
  context.restore();
}

/** Small marks in cells: 0-based [row, column]; rings for native contacts, dots for the highest pairs. */
export function drawMarks(frame: Frame, cells: [number, number][], colour: string, kind: "ring" | "dot"): void {
  const { context, size, sight, theme } = frame;
  const cell = size / sight.span;
  const radius = Math.min(4.2, Math.max(1.3, cell * (kind === "ring" ? 0.34 : 0.22)));
  const paths = new Path2D();
  if (cell < SMALL_CELL) return drawSpecks(frame, cells, colour);
  for (const [row, column] of cells) {
    const x = columnX(frame, column + 0.5);
    const y = rowY(frame, row + 0.5);
    paths.moveTo(x + radius, y);
    paths.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.save();
  clipToPlot(frame);
  // A rim in the page's colour keeps a mark in sight on any cell.
  context.strokeStyle = cssColour(theme.surface);
  if (kind === "ring") {
    context.lineWidth = cell > 7 ? 3.2 : 2.4;
    context.stroke(paths);
    context.strokeStyle = colour;
    context.lineWidth = cell > 7 ? 1.4 : 1;
    context.stroke(paths);
  } else {
    context.lineWidth = 1.6;
    context.stroke(paths);
    context.fillStyle = colour;
    context.fill(paths);
  }
  context.restore();
}

function tag(frame: Frame, text: string, x: number, y: number, side: "left" | "below", strong: boolean): void {
  const { context, theme } = frame;
  context.font = `${strong ? "600 " : ""}11px ${theme.font}`;
  const width = context.measureText(text).width + 8;
  const left = side === "left" ? Math.max(0, x - width) : Math.min(Math.max(0, x - width / 2), MARGIN.left + frame.size + MARGIN.right - width);
  const top = side === "left" ? Math.min(Math.max(0, y - 8), MARGIN.top + frame.size - 8) : y;
  context.fillStyle = strong ? theme.accent : theme.ink;
  context.beginPath();
  context.roundRect(left, top, width, 16, 3);
  context.strokeStyle = cssColour(theme.surface);
  context.lineWidth = 4;
  context.stroke();
  context.fill();
  const ground = parseCss(strong ? theme.accent : theme.ink);
  context.fillStyle = ground ? readable(ground) : cssColour(theme.surface);
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, left + 4, top + 8.5);
}

/** The cell's outline and its two residues at the axes; thin cross hairs for what is under the pointer. */
export function drawPair(frame: Frame, pair: Pair, pinned: boolean): void {
  const { context, theme, sequence, sight, size } = frame;
  const [row, column] = [pair[0] - 1, pair[1] - 1];
  const cell = size / sight.span;
  const x = columnX(frame, column + 0.5);
  const y = rowY(frame, row + 0.5);
  const inColumns = x >= MARGIN.left && x <= MARGIN.left + size;
  const inRows = y >= MARGIN.top && y <= MARGIN.top + size;
  context.save();
  clipToPlot(frame);
  context.strokeStyle = pinned ? theme.accent : theme.ink;
  context.globalAlpha = pinned ? 0.75 : 0.45;
  context.lineWidth = 1;
  // The lines stop at the cell, so that its colour can be seen.
  const side = Math.max(cell, 7);
  context.beginPath();
  context.moveTo(x, MARGIN.top);
  context.lineTo(x, y - side / 2);
  context.moveTo(x, y + side / 2);
  context.lineTo(x, MARGIN.top + size);
  context.moveTo(MARGIN.left, y);
  context.lineTo(x - side / 2, y);
  context.moveTo(x + side / 2, y);
  context.lineTo(MARGIN.left + size, y);
  context.stroke();
  context.globalAlpha = 1;
  context.strokeStyle = cssColour(theme.surface);
  context.lineWidth = 4;
  context.strokeRect(x - side / 2, y - side / 2, side, side);
  context.strokeStyle = pinned ? theme.accent : theme.ink;
  context.lineWidth = pinned ? 2 : 1.5;
  context.strokeRect(x - side / 2, y - side / 2, side, side);
  context.restore();
  if (inRows) tag(frame, residueLabel(sequence, pair[0]), MARGIN.left - 3, y, "left", pinned);
  if (inColumns) tag(frame, residueLabel(sequence, pair[1]), x, MARGIN.top + size + 3, "below", pinned);
}
