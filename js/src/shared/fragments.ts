// Pure arithmetic of visible fragments: 1-based, both ends included, in order, never touching each other.

import { permutation } from "./numpy_random";

export type Fragment = [number, number];
export type Side = "outward" | "inward" | "both";
export type Grip = "start" | "end" | "whole";

const clamp = (position: number, length: number): number => Math.min(length, Math.max(1, position));

/** Put in order, cut to 1 … `length`, and join what overlaps or touches. */
export function tidy(fragments: readonly (readonly [number, number])[], length: number): Fragment[] {
  const inside = fragments
    .filter(([first, last]) => first <= last && last >= 1 && first <= length)
    .map(([first, last]): Fragment => [clamp(first, length), clamp(last, length)])
    .sort((a, b) => a[0] - b[0]);
  const joined: Fragment[] = [];
  for (const [first, last] of inside) {
    const before = joined[joined.length - 1];
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

/** The fragments of a mask trait; null there means that everything is visible. */
export const visibleOf = (mask: readonly (readonly [number, number])[] | null | undefined, length: number): Fragment[] =>
  mask ? tidy(mask, length) : length ? [[1, length]] : [];

/** The other way round: nothing masked is null. */
export const maskOf = (fragments: Fragment[], length: number): Fragment[] | null => (showsAll(fragments, length) ? null : fragments);

export const showsAll = (fragments: readonly Fragment[], length: number): boolean => fragments.length === 1 && fragments[0]![0] === 1 && fragments[0]![1] === length;

export const same = (a: readonly Fragment[], b: readonly Fragment[]): boolean =>
  a.length === b.length && a.every(([first, last], k) => first === b[k]![0] && last === b[k]![1]);

export const countVisible = (fragments: readonly Fragment[]): number => fragments.reduce((sum, [first, last]) => sum + last - first + 1, 0);

/** Which fragment holds a position; -1 for none. */
export const fragmentAt = (fragments: readonly Fragment[], position: number): number => fragments.findIndex(([first, last]) => first <= position && position <= last);

/** Move a fragment, or one of its ends, by some residues; it stays in the sequence and keeps at least one residue. */
export function shifted([first, last]: Fragment, grip: Grip, by: number, length: number): Fragment {
  if (grip === "start") return [Math.min(last, clamp(first + by, length)), last];
  if (grip === "end") return [first, Math.max(first, clamp(last + by, length))];
  const step = Math.min(length - last, Math.max(1 - first, by));
  return [first + step, last + step];
}

/** The k-th fragment replaced; where it now meets another they become one. */
export const replaced = (fragments: readonly Fragment[], k: number, fragment: Fragment, length: number): Fragment[] =>
  tidy(fragments.map((other, index) => (index === k ? fragment : other)), length);

export const without = (fragments: readonly Fragment[], k: number): Fragment[] => fragments.filter((_, index) => index !== k);

/** What is visible when the stretch between two positions (in either order) is shown too. */
export const shown = (fragments: readonly Fragment[], a: number, b: number, length: number): Fragment[] =>
  tidy([...fragments, [Math.min(a, b), Math.max(a, b)]], length);

/** What stays visible when the stretch between two positions (in either order) is masked. */
export function hidden(fragments: readonly Fragment[], a: number, b: number, length: number): Fragment[] {
  const [from, to] = [Math.min(a, b), Math.max(a, b)];
  return tidy(
    fragments.flatMap(([first, last]): Fragment[] => [
      [first, Math.min(last, from - 1)],
      [Math.max(first, to + 1), last],
    ]),
    length,
  );
}

export function inverted(fragments: readonly Fragment[], length: number): Fragment[] {
  const found: Fragment[] = [];
  let next = 1;
  for (const [first, last] of fragments) {
    if (first > next) found.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= length) found.push([next, length]);
  return found;
}

/**
 * Grow fragments by `by` residues: outward at the two outermost ends, inward at the ends that face another fragment, or
 * at all ends. As in `catjac.recovery` flanks end where their chain does; `chains` are the first and last position of each.
 */
export function flanked(fragments: readonly Fragment[], by: number, side: Side, chains: readonly (readonly [number, number])[]): Fragment[] {
  const final = fragments.length - 1;
  const chainOf = (position: number): readonly [number, number] => chains.find(([first, last]) => first <= position && position <= last)!;
  return tidy(
    fragments.map(([first, last], k): Fragment => {
      const grows = (outermost: boolean): number => (side === "both" || (side === "outward") === outermost ? by : 0);
      return [Math.max(chainOf(first)[0], first - grows(k === 0)), Math.min(chainOf(last)[1], last + grows(k === final))];
    }),
    Math.max(...chains.map(([, last]) => last)),
  );
}

/** Positions outside the fragments in the order in which `catjac.recovery(pattern="random_nested")` shows them. */
export function drawOrder(fragments: readonly Fragment[], seed: number, length: number): number[] {
  const outside = Array.from({ length }, (_, k) => k + 1).filter((position) => fragmentAt(fragments, position) < 0);
  return permutation(outside, [seed, ...fragments.flat()]);
}

/** Show `count` more residues, drawn without replacement; with one seed, more residues contain fewer. */
export function scattered(fragments: readonly Fragment[], count: number, seed: number, length: number): Fragment[] {
  const drawn = drawOrder(fragments, seed, length).slice(0, count);
  return tidy([...fragments, ...drawn.map((position): Fragment => [position, position])], length);
}
