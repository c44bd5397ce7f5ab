// Buttons and sliders under the sequence track. Sliders start from the fragments that were there when they left zero.

import { countVisible, flanked, scattered, type Fragment, type Side } from "../shared/fragments";
import type { Undo } from "../shared/model";
import { make } from "../shared/text";

export interface MaskActions {
  fragments(): Fragment[];
  length(): number;
  /** First and last position of each chain. */
  chains(): [number, number][];
  /** Show fragments as if dragged, or for good. */
  preview(fragments: Fragment[]): void;
  commit(fragments: Fragment[]): void;
  press(name: "mask" | "show" | "invert" | "delete" | "undo" | "redo"): void;
}

export interface MaskControls {
  element: HTMLElement;
  /** The fragments changed in another way: sliders go back to zero. */
  reset(): void;
  enable(names: Record<"mask" | "show" | "delete" | "undo" | "redo", boolean>): void;
}

const BUTTONS = [
  ["mask", "Mask all", "Mask every residue"],
  ["show", "Show all", "Unmask every residue"],
  ["invert", "Invert", "Mask what is visible and show what is masked"],
  ["delete", "Mask fragment", "Mask the fragment that was touched last (Delete key)"],
  ["undo", "↶", "Undo the last change of the mask"],
  ["redo", "↷", "Redo"],
] as const;

const SIDES: [Side, string][] = [
  ["outward", "outward"],
  ["inward", "inward"],
  ["both", "both ways"],
];

const LONGEST_FLANK = 60;

interface Slider {
  element: HTMLElement;
  input: HTMLInputElement;
  value: HTMLOutputElement;
}

function range(label: string, hint: string): Slider {
  const element = make("label", "cj-control");
  element.title = hint;
  const input = make("input", "cj-range", "", { type: "range", min: "0", max: "1", step: "1", value: "0", "aria-label": label });
  const value = make("output", "cj-value cj-short");
  element.append(make("span", "cj-name", label), input, value);
  return { element, input, value };
}

export function maskControls(undo: Undo, actions: MaskActions): MaskControls {
  const element = make("div", "cj-controls");
  const flank = range("Flank", "Grow the fragments by that many residues");
  const random = range("Random", "Show that many more residues, drawn at random; with one seed, more contain fewer");
  const side = make("select", "cj-select", "", { "aria-label": "where fragments grow" });
  for (const [name, text] of SIDES) side.append(make("option", "", text, { value: name }));
  side.title = "Outward: the two outermost ends; inward: ends that face another fragment";
  const seed = make("input", "cj-number", "", { type: "number", min: "0", max: "9999", step: "1", value: "0", "aria-label": "seed of the random residues" });
  const seedLabel = make("label", "cj-control");
  seedLabel.append(make("span", "cj-name", "seed"), seed);

  let base: Fragment[] | null = null;
  let moved: Slider | null = null;

  const words = (): void => {
    flank.value.textContent = `+${flank.input.value}`;
    random.value.textContent = `+${random.input.value}`;
    for (const { input, value } of [flank, random]) input.setAttribute("aria-valuetext", `${value.textContent} residues`);
  };
  const limits = (): void => {
    const masked = actions.length() - countVisible(base ?? actions.fragments());
    flank.input.max = String(Math.max(1, Math.min(LONGEST_FLANK, masked)));
    random.input.max = String(Math.max(1, masked));
    const idle = masked === 0 && !base;
    for (const input of [flank.input, random.input]) input.disabled = idle;
  };
  const take = (slider: Slider): void => {
    if (moved === slider && base) return;
    const other = slider === flank ? random : flank;
    other.input.value = "0";
    moved = slider;
    base = actions.fragments();
  };
  const result = (): Fragment[] =>
    moved === flank
      ? flanked(base ?? [], Number(flank.input.value), side.value as Side, actions.chains())
      : scattered(base ?? [], Number(random.input.value), Number(seed.value) || 0, actions.length());
  const follow = (slider: Slider, final: boolean): void => {
    take(slider);
    words();
    if (final) actions.commit(result());
    else actions.preview(result());
  };
  for (const slider of [flank, random]) {
    undo.listen(slider.input, "input", () => follow(slider, false));
    undo.listen(slider.input, "change", () => follow(slider, true));
  }
  undo.listen(side, "change", () => {
    if (moved === flank && base) follow(flank, true);
  });
  undo.listen(seed, "change", () => {
    if (moved === random && base) follow(random, true);
  });

  const buttons = new Map<string, HTMLButtonElement>();
  const edits = make("div", "cj-buttons cj-edits", "", { role: "group", "aria-label": "mask" });
  const history = make("div", "cj-buttons cj-history", "", { role: "group", "aria-label": "history" });
  for (const [name, text, hint] of BUTTONS) {
    const button = make("button", "cj-button", text, { type: "button", title: hint, "aria-label": text.length > 1 ? text : hint });
    button.dataset["action"] = name;
    undo.listen(button, "click", () => actions.press(name));
    buttons.set(name, button);
    (name === "undo" || name === "redo" ? history : edits).append(button);
  }
  const growth = make("span", "cj-group");
  growth.append(flank.element, side);
  const chance = make("span", "cj-group");
  chance.append(random.element, seedLabel);
  element.append(edits, history, growth, chance);
  words();

  return {
    element,
    reset() {
      base = moved = null;
      flank.input.value = random.input.value = "0";
      limits();
      words();
    },
    enable(names) {
      for (const [name, on] of Object.entries(names)) buttons.get(name)!.disabled = !on;
      limits();
    },
  };
}
