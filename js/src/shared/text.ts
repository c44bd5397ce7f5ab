// Words and numbers. Everything a person (or a FASTA file) wrote goes in as text, never as markup.

import type { Pair, SequenceInfo } from "./model";

const MINUS = "\u2212";

/** "K24", or "B:K24" where there are several chains; `position` is 1-based. */
export function residueLabel(sequence: SequenceInfo, position: number): string {
  const label = `${sequence.residues[position - 1] ?? "?"}${sequence.numbers[position - 1] ?? position}`;
  if (sequence.chains.length < 2) return label;
  const chain = sequence.chains.find(([, first, last]) => first <= position && position <= last);
  return `${chain?.[0] ?? "?"}:${label}`;
}

export function number(value: number, digits = 2): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size && (size >= 1e5 || size < 1e-3) ? value.toExponential(1) : value.toFixed(size >= 100 ? 0 : digits);
  return text.replace("-", MINUS);
}

export const signed = (value: number, digits = 2): string => (value > 0 ? "+" : "") + number(value, digits);

/** "5" for 5, "0.25" for 0.25: as short as a tick's value allows. */
export const tickText = (value: number): string => String(Number(value.toPrecision(6))).replace("-", MINUS);

/** What a value of a map is called in words. */
export const quantityText = (quantity: string): string => (quantity === "contact" ? "native contact" : quantity);

/** "K24 – E61", the score's name and value, and how far apart they stand. */
export function pairText(sequence: SequenceInfo, [i, j]: Pair, quantity: string, value: number | null): string[] {
  const chainOf = (position: number): number => sequence.chains.findIndex(([, first, last]) => first <= position && position <= last);
  return [
    `${residueLabel(sequence, i)} – ${residueLabel(sequence, j)}`,
    value === null || !Number.isFinite(value) ? "not computed yet" : `${quantity} ${number(value)}`,
    chainOf(i) === chainOf(j) ? `|i${MINUS}j| ${Math.abs(i - j)}` : "between chains",
  ];
}

/** "8 s", "3 min", "1 h 20 min". */
export function duration(seconds: number): string {
  if (seconds < 1) return "under 1 s";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export interface Progress {
  rows_done?: number;
  rows_total?: number;
  seconds?: number;
  seconds_left?: number | null;
  message?: string;
}

/** One line about a job: what it is doing, how far it is, how long it will take. */
export function statusText(status: string, progress: Progress): string {
  const rows = progress.rows_total ? `${progress.rows_done ?? 0} of ${progress.rows_total} rows` : "";
  const spent = progress.seconds ? ` in ${duration(progress.seconds)}` : "";
  const left = progress.seconds_left === null || progress.seconds_left === undefined ? "" : `${progress.seconds_left < 1 ? "" : "about "}${duration(progress.seconds_left)} left`;
  switch (status) {
    case "running":
      if (progress.rows_total && progress.rows_done === progress.rows_total) return progress.message || "making the contact map";
      return [rows, left].filter(Boolean).join(" · ") || "running";
    case "done":
      return rows ? `complete · ${progress.rows_total} rows${spent}` : "complete";
    case "cancelled":
      return rows ? `stopped at ${rows}; they are kept` : "stopped";
    case "failed":
      return rows ? `failed after ${rows}` : "failed";
    default:
      return progress.message || status;
  }
}

/** Make an element; its text is text. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className = "",
  text = "",
  attributes: Record<string, string> = {},
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Show a sentence, or nothing. */
export function say(element: HTMLElement, text: string): void {
  // What is read aloud is not read again.
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}
