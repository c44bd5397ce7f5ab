// How one substitution is drawn along the chain: as a profile of bars, or as a matrix of residues × letters.

import type { Theme } from "../shared/canvas";
import { shade, sizeCanvas } from "../shared/canvas";
import { cssColour, parseCss, readable, type Triple } from "../shared/colour";
import { chainStarts, edge, scaleTicks, ticks, type Sight } from "../shared/geometry";
import type { SequenceInfo } from "../shared/model";
import { residueLabel, tickText } from "../shared/text";
import { poolStrongest } from "./values";

export interface ChainLayout {
  left: number;
  top: number;
  /** Of the plot, in CSS pixels; the canvas is larger by its margins. */
  width: number;
  height: number;
  /** Height of one letter of a matrix. */
  line: number;
}

export interface ChainPicture {
  sequence: SequenceInfo;
  sight: Sight;
  /** Residues × lines; one line makes a profile. */
  values: Float32Array;
  /** Letters from top to bottom; null for a profile. */
  letters: string[] | null;
  limit: number;
  /** Norms have no sign. */
  signed: boolean;
  masked: boolean[];
  /** 0-based: the residue that is substituted, the one selected, the one pointed at (−1 for none). */
  self: number;
  selected: number;
  pointed: number;
  /** Letter pointed at, −1 for none. */
  pointedLine: number;
  title: string;
}

const MARGIN = { left: 44, right: 6, top: 8, bottom: 38 };
const PROFILE_HEIGHT = 208;

export function chainLayout(width: number, lines: number): ChainLayout {
  const line = lines > 1 ? 14 : lines === 1 ? 26 : 0;
  return { left: MARGIN.left, top: MARGIN.top, width: Math.max(80, width - MARGIN.left - MARGIN.right), height: line ? line * lines : PROFILE_HEIGHT, line };
}

/** The 0-based residue and letter under a point of the canvas; null outside the plot. */
export function chainCell(layout: ChainLayout, sight: Sight, length: number, x: number, y: number): [number, number] | null {
  const [px, py] = [x - layout.left, y - layout.top];
  if (px < 0 || px >= layout.width || py < 0 || py >= layout.height + MARGIN.bottom) return null;
  const residue = Math.min(length - 1, Math.floor(sight.x + (px / layout.width) * sight.span));
  return [residue, layout.line && py < layout.height ? Math.floor(py / layout.line) : -1];
}

/** Draws the chain; what the pointer does not change is painted once and kept. */
export class ChainPainter {
  private readonly kept = document.createElement("canvas");
  private before: unknown[] = [];

  draw(canvas: HTMLCanvasElement, layout: ChainLayout, picture: ChainPicture, theme: Theme, colours: Triple[]): void {
    const [wide, high] = [layout.left + layout.width + MARGIN.right, layout.top + layout.height + MARGIN.bottom];
    const { values, sight, limit, masked, self, sequence } = picture;
    const now = [values, limit, self, wide, high, window.devicePixelRatio, theme, sight.x, sight.span, String(masked), JSON.stringify(sequence.chains)];
    if (now.some((part, k) => part !== this.before[k])) {
      this.before = now;
      paintPlot(sizeCanvas(this.kept, wide, high), layout, picture, theme, colours);
    }
    const context = sizeCanvas(canvas, wide, high);
    context.drawImage(this.kept, 0, 0, wide, high);
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    context.strokeRect(layout.left - 0.5, layout.top - 0.5, layout.width + 1, layout.height + 1);
    if (picture.letters) letterAxis(context, layout, picture, theme);
    else valueAxis(context, layout, picture, theme);
    residueAxis(context, layout, picture, theme);
    marks(context, layout, picture, theme);
  }
}

function paintPlot(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme, colours: Triple[]): void {
  const { left, top, width, height } = layout;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  if (picture.letters) {
    context.fillStyle = theme.missing;
    context.fillRect(left, top, width, height);
    matrix(context, layout, picture, theme, colours);
  } else profile(context, layout, picture, theme, colours);
  hatch(context, layout, picture, theme);
  chains(context, layout, picture, theme);
  context.restore();
}

const xOf = (layout: ChainLayout, picture: ChainPicture, cell: number): number => layout.left + edge(cell, picture.sight.x, picture.sight, layout.width);

/** Height of a value above the plot's upper edge. */
const yOf = (layout: ChainLayout, picture: ChainPicture, value: number): number => {
  const share = Math.max(-1, Math.min(1, value / picture.limit));
  const room = layout.height - 8;
  return layout.top + 4 + (picture.signed ? (room * (1 - share)) / 2 : room * (1 - share));
};

function profile(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme, colours: Triple[]): void {
  const { values, sight } = picture;
  const cell = layout.width / sight.span;
  const zero = yOf(layout, picture, 0);
  const [cold, warm] = [cssColour(colours[48]!), cssColour(colours[206]!)];
  const bar = (x: number, wide: number, value: number, self: boolean): void => {
    if (Number.isNaN(value)) return;
    const y = yOf(layout, picture, value);
    context.globalAlpha = self ? 0.35 : picture.signed ? 1 : 0.72;
    context.fillStyle = picture.signed ? (value < 0 ? cold : warm) : theme.ink;
    context.fillRect(x, Math.min(y, zero), wide, Math.max(Math.abs(y - zero), 0.75));
  };
  context.strokeStyle = theme.line;
  context.beginPath();
  context.moveTo(layout.left, Math.round(zero) + 0.5);
  context.lineTo(layout.left + layout.width, Math.round(zero) + 0.5);
  context.stroke();
  if (cell >= 1) {
    const gap = cell > 4 ? Math.min(2, cell * 0.25) : 0;
    const last = Math.min(values.length, Math.ceil(sight.x + sight.span));
    for (let j = Math.floor(sight.x); j < last; j++) bar(xOf(layout, picture, j) + gap / 2, cell - gap, values[j]!, j === picture.self);
  } else {
    const target = Math.round(layout.width);
    poolStrongest(values, 1, sight.x, sight.span, target).forEach((value, t) => bar(layout.left + t, 1, value, false));
  }
  context.globalAlpha = 1;
}

function matrix(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme, colours: Triple[]): void {
  const { values, sight, limit } = picture;
  const letters = picture.letters!;
  const css = colours.map((colour) => cssColour(colour));
  const colour = (value: number): string => (Number.isNaN(value) ? theme.missing : css[Math.min(css.length - 1, shade(value, -limit, limit))]!);
  const cell = layout.width / sight.span;
  const stride = letters.length;
  if (cell < 1) {
    const target = Math.round(layout.width);
    const pooled = poolStrongest(values, stride, sight.x, sight.span, target);
    for (let k = 0; k < pooled.length; k++) {
      context.fillStyle = colour(pooled[k]!);
      context.fillRect(layout.left + (k % target), layout.top + Math.floor(k / target) * layout.line, 1, layout.line);
    }
    return;
  }
  const last = Math.min(values.length / stride, Math.ceil(sight.x + sight.span));
  // Cells begin and end on whole pixels of the screen, else seams show between them.
  const ratio = window.devicePixelRatio || 1;
  const snap = (x: number): number => Math.round(x * ratio) / ratio;
  for (let j = Math.floor(sight.x); j < last; j++) {
    const [x, end] = [snap(xOf(layout, picture, j)), snap(xOf(layout, picture, j + 1))];
    for (let line = 0; line < stride; line++) {
      context.fillStyle = colour(values[j * stride + line]!);
      context.fillRect(x, layout.top + line * layout.line, end - x, layout.line);
    }
  }
  if (cell < 2.5) return;
  // The wild type's own letters.
  context.fillStyle = theme.soft;
  for (let j = Math.floor(sight.x); j < last; j++) {
    const line = letters.indexOf(picture.sequence.residues[j] ?? "");
    if (line < 0) continue;
    context.beginPath();
    context.arc(xOf(layout, picture, j + 0.5), layout.top + (line + 0.5) * layout.line, Math.min(2, Math.max(0.9, cell * 0.3)), 0, 2 * Math.PI);
    context.fill();
  }
}

/** Masked residues: their logits are read, but the model did not see them. */
function hatch(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme): void {
  const region = new Path2D();
  if (!picture.masked.some(Boolean)) return;
  picture.masked.forEach((masked, j) => {
    if (masked) region.rect(xOf(layout, picture, j), layout.top, layout.width / picture.sight.span, layout.height);
  });
  context.save();
  context.clip(region);
  context.strokeStyle = theme.soft;
  context.globalAlpha = 0.35;
  context.beginPath();
  for (let at = -layout.height; at < layout.width; at += 7) {
    context.moveTo(layout.left + at, layout.top + layout.height);
    context.lineTo(layout.left + at + layout.height, layout.top);
  }
  context.stroke();
  context.restore();
}

function chains(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme): void {
  const { sequence } = picture;
  if (sequence.chains.length < 2) return;
  context.save();
  context.strokeStyle = context.fillStyle = theme.ink;
  context.globalAlpha = 0.6;
  context.setLineDash([5, 3]);
  context.beginPath();
  for (const start of chainStarts(sequence)) {
    const x = Math.round(xOf(layout, picture, start)) + 0.5;
    context.moveTo(x, layout.top);
    context.lineTo(x, layout.top + layout.height);
  }
  context.stroke();
  context.font = `600 12px ${theme.font}`;
  context.textBaseline = "top";
  if (!picture.letters) for (const [name, first] of sequence.chains) context.fillText(name, xOf(layout, picture, first - 1) + 5, layout.top + 4);
  context.restore();
}

function letterAxis(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme): void {
  context.textAlign = "right";
  context.textBaseline = "middle";
  picture.letters!.forEach((letter, line) => {
    const lit = line === picture.pointedLine;
    context.fillStyle = lit ? theme.ink : theme.soft;
    context.font = `${lit ? "700 " : ""}11px ${theme.font}`;
    context.fillText(letter, layout.left - 7, layout.top + (line + 0.5) * layout.line + 0.5);
  });
  axisTitle(context, layout, theme, "letter read");
}

function valueAxis(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme): void {
  context.fillStyle = theme.soft;
  context.font = `11px ${theme.font}`;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of scaleTicks(picture.signed ? -picture.limit : 0, picture.limit, 5)) {
    const y = yOf(layout, picture, value);
    context.fillRect(layout.left - 4, Math.round(y) - 0.5, 3, 1);
    context.fillText(tickText(value), layout.left - 7, y);
  }
  axisTitle(context, layout, theme, "logits");
}

function axisTitle(context: CanvasRenderingContext2D, layout: ChainLayout, theme: Theme, text: string): void {
  context.save();
  context.fillStyle = theme.soft;
  context.font = `11px ${theme.font}`;
  context.translate(9, layout.top + layout.height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, 0, 0);
  context.restore();
}

function residueAxis(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme): void {
  const { sequence, sight } = picture;
  const bottom = layout.top + layout.height;
  const cell = layout.width / sight.span;
  context.fillStyle = theme.soft;
  context.textAlign = "center";
  context.textBaseline = "top";
  const letters = cell >= 10;
  if (letters) {
    context.font = `${Math.min(11, cell)}px ${theme.font}`;
    for (let j = Math.floor(sight.x); j < Math.min(sequence.residues.length, sight.x + sight.span); j++) context.fillText(sequence.residues[j]!, xOf(layout, picture, j + 0.5), bottom + 3);
  }
  context.font = `11px ${theme.font}`;
  for (const { index, text } of ticks(sequence, sight.x, sight, layout.width, 34)) {
    const x = xOf(layout, picture, index + 0.5);
    if (x < layout.left || x > layout.left + layout.width) continue;
    if (!letters) context.fillRect(Math.round(x) - 0.5, bottom + 1, 1, 4);
    // A number at the very end must not run off the canvas.
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(x, layout.left + layout.width + MARGIN.right - half), bottom + (letters ? 15 : 6));
  }
  context.fillText(picture.title, layout.left + layout.width / 2, bottom + (letters ? 26 : 22));
}

/** Where the substitution is, what is selected, what is pointed at. */
function marks(context: CanvasRenderingContext2D, layout: ChainLayout, picture: ChainPicture, theme: Theme): void {
  const cell = layout.width / picture.sight.span;
  const within = (j: number): boolean => j >= 0 && j + 1 > picture.sight.x && j < picture.sight.x + picture.sight.span;
  const frame = (j: number, colour: string, line: number): void => {
    if (!within(j)) return;
    const wide = Math.max(cell, 3);
    context.strokeStyle = colour;
    context.lineWidth = line;
    context.strokeRect(xOf(layout, picture, j + 0.5) - wide / 2, layout.top - 1, wide, layout.height + 2);
  };
  if (within(picture.self)) {
    const x = xOf(layout, picture, picture.self + 0.5);
    context.fillStyle = theme.ink;
    context.beginPath();
    context.moveTo(x, layout.top);
    context.lineTo(x - 4, layout.top - 7);
    context.lineTo(x + 4, layout.top - 7);
    context.fill();
  }
  frame(picture.selected, theme.accent, 1.5);
  if (picture.pointed !== picture.selected) frame(picture.pointed, theme.ink, 1);
  if (picture.letters && picture.pointedLine >= 0 && within(picture.pointed)) {
    const wide = Math.max(cell, 3);
    context.strokeStyle = theme.ink;
    context.lineWidth = 1.5;
    context.strokeRect(xOf(layout, picture, picture.pointed + 0.5) - wide / 2, layout.top + picture.pointedLine * layout.line, wide, layout.line);
  }
  if (within(picture.selected)) tag(context, layout, residueLabel(picture.sequence, picture.selected + 1), xOf(layout, picture, picture.selected + 0.5), theme);
}

/** The selected residue's name under the axis, over whatever stands there. */
function tag(context: CanvasRenderingContext2D, layout: ChainLayout, text: string, x: number, theme: Theme): void {
  context.font = `600 11px ${theme.font}`;
  const width = context.measureText(text).width + 8;
  const left = Math.min(Math.max(0, x - width / 2), layout.left + layout.width + MARGIN.right - width);
  const top = layout.top + layout.height + 4;
  context.fillStyle = theme.accent;
  context.strokeStyle = cssColour(theme.surface);
  context.lineWidth = 4;
  context.beginPath();
  context.roundRect(left, top, width, 16, 3);
  context.stroke();
  context.fill();
  const ground = parseCss(theme.accent);
  context.fillStyle = ground ? readable(ground) : cssColour(theme.surface);
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, left + 4, top + 8.5);
}
