// Pure geometry of a square map: which cells are in sight, where a cell lies, where the ticks go.

import type { SequenceInfo } from "./model";

/** The part of the map in sight: first column, first row and how many cells along a side (all in cells). */
export interface Sight {
  x: number;
  y: number;
  span: number;
}

export const whole = (cells: number): Sight => ({ x: 0, y: 0, span: cells });

const SMALLEST_SPAN = 6;

export function clampSight(sight: Sight, cells: number): Sight {
  const span = Math.min(cells, Math.max(Math.min(SMALLEST_SPAN, cells), sight.span));
  const inside = (start: number): number => Math.min(Math.max(0, start), cells - span);
  return { x: inside(sight.x), y: inside(sight.y), span };
}

/** Zoom by `factor` (> 1 comes closer) so that the point at (fx, fy), fractions of the plot, stays where it is. */
export function zoomAt(sight: Sight, cells: number, fx: number, fy: number, factor: number): Sight {
  const span = clampSight({ ...sight, span: sight.span / factor }, cells).span;
  const shift = sight.span - span;
  return clampSight({ x: sight.x + fx * shift, y: sight.y + fy * shift, span }, cells);
}

/** Bring a cell into sight by the smallest shift. */
export function reveal(sight: Sight, cells: number, column: number, row: number): Sight {
  const shift = (start: number, cell: number): number =>
    cell < start ? cell : cell + 1 > start + sight.span ? cell + 1 - sight.span : start;
  return clampSight({ x: shift(sight.x, column), y: shift(sight.y, row), span: sight.span }, cells);
}

/** The 0-based [row, column] under a point of the plot (pixels from its corner), or null outside. */
export function cellAt(px: number, py: number, size: number, sight: Sight, cells: number): [number, number] | null {
  if (px < 0 || py < 0 || px >= size || py >= size) return null;
  const column = Math.floor(sight.x + (px / size) * sight.span);
  const row = Math.floor(sight.y + (py / size) * sight.span);
  return column < cells && row < cells ? [row, column] : null;
}

/** Where a cell's edge lies, in pixels from the plot's corner. */
export const edge = (cell: number, start: number, sight: Sight, size: number): number =>
  ((cell - start) / sight.span) * size;

export interface Tick {
  /** 0-based residue. */
  index: number;
  text: string;
}

const STEPS = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000];

/** Ticks at round residue numbers of each chain, no nearer than `room` pixels to each other. */
export function ticks(sequence: SequenceInfo, start: number, sight: Sight, size: number, room: number): Tick[] {
  const pixels = size / sight.span;
  const step = STEPS.find((candidate) => candidate * pixels >= room) ?? 2000;
  const found: Tick[] = [];
  const last = Math.min(sequence.numbers.length - 1, Math.ceil(start + sight.span) - 1);
  for (let index = Math.max(0, Math.floor(start)); index <= last; index++) {
    const text = sequence.numbers[index] ?? "";
    if (!/^-?\d+$/.test(text) || Number(text) % step) continue;
    const previous = found[found.length - 1];
    if (previous && (index - previous.index) * pixels < room) continue;
    found.push({ index, text });
  }
  return found;
}

/** Positions after which a new chain begins, 0-based (the first residue of every chain but the first). */
export const chainStarts = (sequence: SequenceInfo): number[] => sequence.chains.slice(1).map(([, first]) => first - 1);

/** The chain's place, once a residue. */
export function chainIndex(sequence: SequenceInfo): Uint8Array {
  const index = new Uint8Array(sequence.residues.length);
  sequence.chains.forEach(([, first, last], k) => index.fill(k, first - 1, last));
  return index;
}

/** Which residues are masked, given the visible fragments (1-based, both ends included); none where null. */
export function maskedResidues(visible: [number, number][] | null, length: number): boolean[] {
  const masked = new Array<boolean>(length).fill(visible !== null);
  for (const [first, last] of visible ?? []) masked.fill(false, first - 1, last);
  return masked;
}

/** Round numbers for a scale from `low` to `high`: at most `most` of them, ends not included unless round. */
export function scaleTicks(low: number, high: number, most = 5): number[] {
  if (!(high > low)) return [];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999)!;
  const found: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}
