// Pure geometry of the sequence track: residues in lines that fit the width, and what lies under a point.

import type { Fragment, Grip } from "../shared/fragments";
import type { SequenceInfo } from "../shared/model";

/** One line: the residues `first` … `last` (1-based) of one chain, its top in pixels. */
export interface Line {
  first: number;
  last: number;
  chain: number;
  top: number;
}

export interface TrackLayout {
  lines: Line[];
  /** Width of one residue. */
  cell: number;
  left: number;
  width: number;
  height: number;
}

export const ROW = { numbers: 13, letters: 24, gap: 5 };
const SMALLEST_CELL = 11;
const LARGEST_CELL = 19;

/** Lines of a whole number of tens where they wrap; every chain begins a line of its own. */
export function layoutTrack(sequence: SequenceInfo, width: number): TrackLayout {
  const left = sequence.chains.length > 1 ? 30 : 8;
  const room = Math.max(10 * SMALLEST_CELL, width - left - 8);
  const longest = Math.max(1, ...sequence.chains.map(([, first, last]) => last - first + 1));
  const fits = Math.floor(room / SMALLEST_CELL);
  const perLine = longest <= fits ? longest : Math.max(10, Math.floor(Math.floor(room / 13) / 10) * 10);
  const cell = Math.min(LARGEST_CELL, Math.floor((room / perLine) * 4) / 4);
  const lines: Line[] = [];
  let top = 0;
  sequence.chains.forEach(([, begin, end], chain) => {
    for (let first = begin; first <= end; first += perLine) {
      lines.push({ first, last: Math.min(end, first + perLine - 1), chain, top });
      top += ROW.numbers + ROW.letters + ROW.gap;
    }
  });
  return { lines, cell, left, width: left + cell * perLine + 8, height: top };
}

const lettersTop = (line: Line): number => line.top + ROW.numbers;

export const lineOf = (layout: TrackLayout, position: number): Line | undefined => layout.lines.find(({ first, last }) => first <= position && position <= last);

/** Left edge of a residue within its line. */
export const residueX = (layout: TrackLayout, line: Line, position: number): number => layout.left + (position - line.first) * layout.cell;

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Whether the fragment itself begins and ends here, not only the line. */
  begins: boolean;
  ends: boolean;
}

/** The boxes of a stretch, one a line that it touches. */
export function boxesOf(layout: TrackLayout, [first, last]: readonly [number, number]): Box[] {
  return layout.lines
    .filter((line) => line.first <= last && line.last >= first)
    .map((line) => {
      const [from, to] = [Math.max(first, line.first), Math.min(last, line.last)];
      return {
        x: residueX(layout, line, from),
        y: lettersTop(line),
        width: (to - from + 1) * layout.cell,
        height: ROW.letters,
        begins: from === first,
        ends: to === last,
      };
    });
}

/** The nearest line at a height. */
function nearestLine(layout: TrackLayout, y: number): Line | undefined {
  let best: Line | undefined;
  let least = Infinity;
  for (const line of layout.lines) {
    const away = Math.max(line.top - y, y - (lettersTop(line) + ROW.letters), 0);
    if (away < least) [best, least] = [line, away];
  }
  return best;
}

/** The residue (1-based) under a point; with `nearest`, the one that a drag there means, wherever it is. */
export function positionAt(layout: TrackLayout, x: number, y: number, nearest = false): number | null {
  const line = nearestLine(layout, y);
  if (!line) return null;
  const place = Math.floor((x - layout.left) / layout.cell) + line.first;
  if (nearest) return Math.min(line.last, Math.max(line.first, place));
  const within = y >= lettersTop(line) && y < lettersTop(line) + ROW.letters;
  return within && place >= line.first && place <= line.last ? place : null;
}

/**
 * How many residues lie between where a drag began and where it is, counted in lines and columns, so that the pointer
 * may leave the letters at either side.
 */
export function dragged(layout: TrackLayout, from: { x: number; y: number }, to: { x: number; y: number }): number {
  const [start, now] = [nearestLine(layout, from.y), nearestLine(layout, to.y)];
  if (!start || !now) return 0;
  const columns = Math.round((to.x - from.x) / layout.cell);
  return now.first - start.first + columns;
}

const OUTSIDE = 8;
const INSIDE = 6;

export interface Hit {
  /** Index of the fragment. */
  fragment: number;
  grip: Grip;
}

/** What a press at a point takes hold of: an end (a little outside counts too), a fragment, or nothing. */
export function gripAt(layout: TrackLayout, fragments: readonly Fragment[], x: number, y: number): Hit | null {
  let best: (Hit & { away: number }) | null = null;
  fragments.forEach((fragment, k) => {
    for (const box of boxesOf(layout, fragment)) {
      if (y < box.y - 3 || y > box.y + box.height + 3) continue;
      // A short fragment keeps a middle that one can take hold of.
      const inside = Math.min(INSIDE, box.width / 3.5);
      const fromStart = x - box.x;
      const fromEnd = box.x + box.width - x;
      const offer = (grip: Grip, away: number): void => {
        if (!best || away < best.away) best = { fragment: k, grip, away };
      };
      if (box.begins && fromStart >= -OUTSIDE && fromStart <= inside) offer("start", Math.abs(fromStart));
      if (box.ends && fromEnd >= -OUTSIDE && fromEnd <= inside) offer("end", Math.abs(fromEnd));
      if (fromStart >= 0 && fromEnd >= 0) offer("whole", OUTSIDE);
    }
  });
  return best && { fragment: (best as Hit).fragment, grip: (best as Hit).grip };
}
