// The row of controls under the contact map; each sets a trait and follows it.

import { NAMING, twoNumberings, type Model, type Undo } from "../shared/model";
import { make } from "../shared/text";
import { choices, LAYER_EVENTS, LIVE, readShown } from "./layers";

export interface Controls {
  element: HTMLElement;
  setLength(length: number): void;
  setMarks(native: boolean, top: boolean): void;
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

/** A choice among texts; `fill` gives the options that there are now and the one that is chosen. */
function choice(label: string, hint: string, fill: () => { options: [string, string][]; chosen: string }, choose: (value: string) => void, undo: Undo): { element: HTMLElement; read(): void } {
  const element = make("label", "cj-control");
  element.title = hint;
  const select = make("select", "cj-select cj-choice", "", { "aria-label": hint });
  element.append(make("span", "cj-name", label), select);
  undo.listen(select, "change", () => choose(select.value));
  const read = (): void => {
    const { options, chosen } = fill();
    // An open list would close if it were filled anew.
    const now = [...select.options].map((option) => [option.value, option.text]);
    if (JSON.stringify(now) !== JSON.stringify(options)) select.replaceChildren(...options.map(([value, text]) => make("option", "", text, { value })));
    select.value = chosen;
  };
  read();
  return { element, read };
}

/** Which map lies in which triangle. */
function triangles(state: Model, model: Model, undo: Undo): HTMLElement[] {
  const sides = (["above", "below"] as const).map((where, side) =>
    choice(
      side ? "◣" : "◥",
      `map ${where} the diagonal`,
      () => {
        const options = choices(model).map(({ name, label }): [string, string] => [name, label || name]);
        const chosen = readShown(state.get("maps_shown"))[side]!;
        return { options, chosen: options.some(([name]) => name === chosen) ? chosen : LIVE };
      },
      (name) => {
        const shown = readShown(state.get("maps_shown"));
        shown[side] = name;
        state.set("maps_shown", shown);
        state.save_changes();
      },
      undo,
    ),
  );
  const read = (): void => {
    // Of one map there is nothing to choose.
    const one = choices(model).length < 2;
    for (const side of sides) {
      side.read();
      side.element.hidden = one;
    }
  };
  undo.on(model, [...LAYER_EVENTS, "change:label"], read);
  undo.on(state, ["change:maps_shown"], read);
  read();
  return sides.map((side) => side.element);
}

function numbering(state: Model, undo: Undo): HTMLElement {
  const { element, read } = choice(
    "Numbers",
    "residue numbers",
    () => ({ options: [["position", "1 … L"], ["structure", "structure"]], chosen: state.get<string>("numbering") }),
    (value) => {
      state.set("numbering", value);
      state.save_changes();
    },
    undo,
  );
  const follow = (): void => {
    element.hidden = !twoNumberings(state);
    read();
  };
  undo.on(state, NAMING, follow);
  follow();
  return element;
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
  native.element.title = "Rings: residues in contact in the structure (below the diagonal, or in both triangles where two maps are shown)";
  top.text.textContent = "top L";
  top.element.title = "Dots: the L highest pairs (above the diagonal, or of each of two maps)";
  const buttons = make("div", "cj-buttons", "", { role: "group", "aria-label": "zoom" });
  const zooms: [string, string, number][] = [
    ["−", "Zoom out", 1 / 1.5],
    ["+", "Zoom in (also ctrl + wheel, or drag with shift; drag with alt or on an axis to pan)", 1.5],
    ["all", "Show the whole map", 0],
  ];
  for (const [text, hint, factor] of zooms) {
    const button = make("button", "cj-button", text, { type: "button", title: hint, "aria-label": hint });
    undo.listen(button, "click", () => zoom(factor));
    buttons.append(button);
  }
  const element = make("div", "cj-controls");
  element.append(...triangles(state, model, undo), separation.element, limit.element, native.element, top.element, numbering(state, undo), buttons);
  return {
    element,
    setLength(length) {
      separation.input.max = String(Math.max(1, Math.min(100, length - 1)));
      separation.read();
    },
    setMarks(hasNative, hasTop) {
      native.element.hidden = !hasNative;
      top.element.hidden = !hasTop;
    },
  };
}
