// The fragments as elements: what one sees as bands and handles, and what the keyboard takes hold of.

import type { Fragment, Grip } from "../shared/fragments";
import type { SequenceInfo } from "../shared/model";
import { make, residueLabel } from "../shared/text";
import { boxesOf, type TrackLayout } from "./layout";

const NAMES: Record<Grip, string> = { whole: "visible fragment", start: "start of fragment", end: "end of fragment" };

export class TrackBands {
  readonly element = make("div", "cj-bands");
  private readonly parts = new Map<string, HTMLElement>();

  constructor(
    private readonly key: (fragment: number, grip: Grip, event: KeyboardEvent) => void,
    private readonly touched: (fragment: number) => void,
  ) {}

  /** Put the elements where the fragments are; an element stays the same while its fragment does. */
  arrange(layout: TrackLayout, fragments: readonly Fragment[], current: number, sequence: SequenceInfo): void {
    const used = new Set<string>();
    fragments.forEach((fragment, k) => {
      const [first, last] = fragment;
      boxesOf(layout, fragment).forEach((box, piece) => {
        const band = this.part(`${k}:whole:${piece}`, "cj-band", k, "whole", box.begins, used);
        place(band, box.x, box.y, box.width, box.height);
        band.classList.toggle("cj-current", k === current);
        band.classList.toggle("cj-begins", box.begins);
        band.classList.toggle("cj-ends", box.ends);
        if (box.begins) speak(band, k, "whole", first, sequence, `${residueLabel(sequence, first)} to ${residueLabel(sequence, last)}, ${last - first + 1} residues`);
        for (const [grip, here, x, position] of [
          ["start", box.begins, box.x - 8, first],
          ["end", box.ends, box.x + box.width - 6, last],
        ] as const) {
          if (!here) continue;
          const handle = this.part(`${k}:${grip}`, `cj-grip cj-grip-${grip}`, k, grip, true, used);
          place(handle, x, box.y, 14, box.height);
          speak(handle, k, grip, position, sequence, residueLabel(sequence, position));
        }
      });
    });
    for (const [name, element] of this.parts) {
      if (used.has(name)) continue;
      element.remove();
      this.parts.delete(name);
    }
  }

  focus(fragment: number, grip: Grip): void {
    const element = this.parts.get(grip === "whole" ? `${fragment}:whole:0` : `${fragment}:${grip}`);
    if (element && document.activeElement !== element) element.focus({ preventScroll: true });
  }

  private part(name: string, className: string, fragment: number, grip: Grip, reachable: boolean, used: Set<string>): HTMLElement {
    used.add(name);
    const known = this.parts.get(name);
    if (known) return known;
    const element = make("div", className, "", reachable ? { tabindex: "0", role: "slider", "aria-orientation": "horizontal" } : { "aria-hidden": "true" });
    element.addEventListener("keydown", (event) => this.key(fragment, grip, event));
    element.addEventListener("focus", () => this.touched(fragment));
    this.parts.set(name, element);
    this.element.append(element);
    return element;
  }
}

function place(element: HTMLElement, x: number, y: number, width: number, height: number): void {
  element.style.transform = `translate(${x}px, ${y}px)`;
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
}

function speak(element: HTMLElement, k: number, grip: Grip, position: number, sequence: SequenceInfo, text: string): void {
  element.setAttribute("aria-label", `${NAMES[grip]} ${k + 1}`);
  element.setAttribute("aria-valuemin", "1");
  element.setAttribute("aria-valuemax", String(sequence.residues.length));
  element.setAttribute("aria-valuenow", String(position));
  element.setAttribute("aria-valuetext", text);
}
