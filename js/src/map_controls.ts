// The row of controls under the contact map; each sets a trait and follows it.

import type { Model, Undo } from "./model";
import { make } from "./text";

export interface Controls {
  element: HTMLElement;
  setLength(length: number): void;
  setMarks(native: boolean, top: boolean, precision: number | null): void;
}

interface SliderOptions {
  label: string;
  trait: string;
  min: number;
  max: number;
  step: number;
  show(value: number): string;
}

/** A range that writes a trait while it moves and follows it when somebody else writes it. */
function slider(model: Model, undo: Undo, options: SliderOptions): { element: HTMLElement; input: HTMLInputElement; read(): void } {
  const element = make("label", "cj-control");
  const input = make("input", "cj-range", "", {
    type: "range",
    min: String(options.min),
    max: String(options.max),
    step: String(options.step),
    "aria-label": options.label,
  });
  const value = make("output", "cj-value");
  element.append(make("span", "cj-name", options.label), input, value);
  const read = (): void => {
    const now = model.get<number>(options.trait);
    if (Number(input.value) !== now) input.value = String(now);
    value.textContent = options.show(now);
    input.setAttribute("aria-valuetext", options.show(now));
  };
  undo.listen(input, "input", () => {
    model.set(options.trait, Number(input.value));
    model.save_changes();
  });
  undo.on(model, [`change:${options.trait}`], read);
  read();
  return { element, input, read };
}

function checkbox(model: Model, undo: Undo, trait: string): { element: HTMLElement; text: HTMLElement } {
  const element = make("label", "cj-control cj-check");
  const input = make("input", "", "", { type: "checkbox" });
  const text = make("span", "cj-name");
  element.append(input, text);
  const read = (): void => {
    input.checked = model.get<boolean>(trait);
  };
  undo.listen(input, "change", () => {
    model.set(trait, input.checked);
    model.save_changes();
  });
  undo.on(model, [`change:${trait}`], read);
  read();
  return { element, text };
}

/** Build the controls: what is shared goes to `state`, what is this map's own to `model`; `zoom(0)` shows all. */
export function controls(state: Model, model: Model, undo: Undo, zoom: (factor: number) => void): Controls {
  const separation = slider(state, undo, {
    label: "Separation",
    trait: "min_separation",
    min: 0,
    max: 48,
    step: 1,
    show: (value) => `|i\u2212j| ≥ ${value}`,
  });
  const limit = slider(state, undo, {
    label: "Colour limit",
    trait: "colour_percentile",
    min: 90,
    max: 100,
    step: 0.1,
    show: (value) => `${value.toFixed(1)} %`,
  });
  const native = checkbox(model, undo, "show_native");
  const top = checkbox(model, undo, "show_top");
  native.text.textContent = "native contacts";
  native.element.title = "Rings below the diagonal: residues in contact in the structure";
  top.element.title = "Dots above the diagonal: the L highest pairs";
  const buttons = make("div", "cj-buttons", "", { role: "group", "aria-label": "zoom" });
  const zooms: [string, string, number][] = [
    ["−", "Zoom out", 1 / 1.5],
    ["+", "Zoom in (also ctrl + wheel; drag to pan)", 1.5],
    ["all", "Show the whole map", 0],
  ];
  for (const [text, hint, factor] of zooms) {
    const button = make("button", "cj-button", text, { type: "button", title: hint, "aria-label": hint });
    undo.listen(button, "click", () => zoom(factor));
    buttons.append(button);
  }
  const element = make("div", "cj-controls");
  element.append(separation.element, limit.element, native.element, top.element, buttons);
  return {
    element,
    setLength(length) {
      separation.input.max = String(Math.max(1, Math.min(100, length - 1)));
      separation.read();
    },
    setMarks(hasNative, hasTop, precision) {
      native.element.hidden = !hasNative;
      top.element.hidden = !hasTop;
      top.text.textContent = precision === null ? "top L" : `top L · precision ${precision.toFixed(2)}`;
    },
  };
}
