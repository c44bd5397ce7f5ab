// What can be chosen in the slice view: its form, two letters, quantity and order; and the line to copy.

import { type Model, type Undo } from "../shared/model";
import { make } from "../shared/text";
import type { Form } from "./values";

const FORMS: [Form, string, string][] = [
  ["block", "Block", "Letters put in × letters read, for the selected pair"],
  ["profile", "Profile", "What one substitution does to each residue"],
  ["matrix", "Matrix", "What one substitution does to each residue, letter by letter"],
];

const QUANTITIES: [string, string, string][] = [
  ["raw", "raw", "Mutant minus wild type, as the model says it"],
  ["centred", "centred", "The means over the letters put in and over the letters read are taken off; not those over positions"],
  ["epistasis", "log-odds", "Conditional log-odds: each letter against the wild-type letter of the residue that is read"],
];

const ORDERS: [string, string][] = [
  ["chemistry", "by chemistry"],
  ["hydrophobicity", "by hydrophobicity"],
  ["alphabetical", "alphabetical"],
  ["model", "the model's own"],
];

function put(model: Model, name: string, value: unknown): void {
  model.set(name, value);
  model.save_changes();
}

/** A row of buttons of which one is chosen; arrow keys move within it. */
class Choice {
  readonly element: HTMLElement;
  private buttons = new Map<string, HTMLButtonElement>();
  private said = "";

  constructor(
    label: string,
    className: string,
    undo: Undo,
    private readonly choose: (value: string) => void,
  ) {
    this.element = make("div", className, "", { role: "radiogroup", "aria-label": label });
    undo.listen(this.element, "keydown", (event) => this.key(event));
  }

  /** Show these choices, [value, text, hint]; elements stay while the choices do. */
  offer(choices: [string, string, string][]): void {
    const said = JSON.stringify(choices);
    if (said === this.said) return;
    this.said = said;
    this.buttons = new Map(
      choices.map(([value, text, hint]) => {
        const button = make("button", "cj-pick", text, { type: "button", role: "radio", title: hint, "data-value": value });
        button.addEventListener("click", () => this.choose(value));
        return [value, button];
      }),
    );
    this.element.replaceChildren(...this.buttons.values());
  }

  mark(chosen: string, wild = "", closed: (value: string) => string = () => ""): void {
    for (const [value, button] of this.buttons) {
      button.setAttribute("aria-checked", String(value === chosen));
      button.tabIndex = value === chosen || (!this.buttons.has(chosen) && value === [...this.buttons.keys()][0]) ? 0 : -1;
      button.classList.toggle("cj-wild", value === wild && wild !== "");
      const why = closed(value);
      button.disabled = why !== "";
      if (why) button.title = why;
    }
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const open = [...this.buttons].filter(([, button]) => !button.disabled);
    const at = open.findIndex(([, button]) => button === document.activeElement);
    const next = open[(at + step + open.length) % open.length];
    if (at < 0 || !next) return;
    this.choose(next[0]);
    next[1].focus();
    event.preventDefault();
    event.stopPropagation();
  }
}

function select(model: Model, undo: Undo, trait: string, label: string, choices: [string, string, string?][]): { element: HTMLElement; box: HTMLSelectElement } {
  const element = make("label", "cj-control");
  const box = make("select", "cj-select", "", { "aria-label": label, "data-trait": trait });
  for (const [value, text, hint] of choices) box.append(make("option", "", text, { value, ...(hint ? { title: hint } : {}) }));
  element.append(make("span", "cj-name", label), box);
  const read = (): void => {
    box.value = model.get<string>(trait);
  };
  undo.listen(box, "change", () => put(model, trait, box.value));
  undo.on(model, [`change:${trait}`], read);
  read();
  return { element, box };
}

export interface SliceState {
  form: Form;
  /** In the order shown. */
  lettersIn: string[];
  lettersOut: string[];
  letterIn: string;
  letterOut: string;
  /** Names of the residues, and their wild-type letters. */
  residueIn: string;
  wildIn: string;
  /** Why a quantity cannot be had, or "". */
  refusal(quantity: string): string;
  kind: string;
  line: string;
}

export class SliceControls {
  readonly tabs: HTMLElement;
  readonly letters = make("div", "cj-letterrows");
  readonly below: HTMLElement;
  private readonly forms: Choice;
  private readonly letterIn: Choice;
  private readonly letterOut: Choice;
  private readonly nameIn = make("span", "cj-name");
  private readonly rowOut: HTMLElement;
  private readonly quantity: HTMLSelectElement;
  private readonly line = make("code", "cj-code", "", { tabindex: "0", "aria-label": "this slice in Python" });
  private readonly copy = make("button", "cj-button cj-copy", "Copy", { type: "button", title: "Copy this line; J is the Jacobian, ex.jacobian of an explorer" });
  private readonly codeRow = make("div", "cj-coderow");

  constructor(model: Model, undo: Undo) {
    this.forms = new Choice("what to show", "cj-tabs", undo, (value) => put(model, "form", value));
    this.forms.offer(FORMS);
    this.tabs = this.forms.element;
    this.letterIn = new Choice("letter that is put in", "cj-letterrow", undo, (value) => put(model, "letter_in", value));
    this.letterOut = new Choice("letter whose logit is read", "cj-letterrow", undo, (value) => put(model, "letter_out", value));
    const [rowIn, rowOut] = [make("div", "cj-letterline"), make("div", "cj-letterline")];
    rowIn.append(this.nameIn, this.letterIn.element);
    rowOut.append(make("span", "cj-name", "read"), this.letterOut.element);
    this.rowOut = rowOut;
    this.letters.append(rowIn, rowOut);
    const quantity = select(model, undo, "quantity", "Values", QUANTITIES);
    const order = select(model, undo, "letter_order", "Letters", ORDERS);
    this.quantity = quantity.box;
    const row = make("div", "cj-controls");
    row.append(quantity.element, order.element);
    this.codeRow.append(this.line, this.copy);
    this.below = make("div");
    this.below.append(row, this.codeRow);
    undo.listen(this.copy, "click", () => void this.copyLine());
  }

  show(state: SliceState): void {
    this.forms.mark(state.form);
    this.letters.hidden = state.form === "block" || !state.lettersOut.length;
    this.rowOut.hidden = state.form !== "profile";
    // Room for "all", so that letters stand above each other.
    this.letters.classList.toggle("cj-both", !this.rowOut.hidden);
    this.nameIn.textContent = `${state.residueIn} to`;
    this.letterIn.offer(state.lettersIn.map((letter) => [letter, letter.length > 1 ? "mask" : letter, letter.length > 1 ? "masked" : letter === state.wildIn ? `${letter}, the wild type` : `put ${letter} in`]));
    this.letterIn.mark(state.letterIn, state.wildIn);
    this.letterOut.offer([...state.lettersOut.map((letter): [string, string, string] => [letter, letter, `the logit of ${letter}`]), ["", "all", "Norm over all letters, their mean taken off"]]);
    this.letterOut.mark(state.letterOut);
    for (const option of this.quantity.options) {
      const why = option.value === "raw" ? "" : state.kind ? `This Jacobian is ${state.kind} already.` : state.refusal(option.value);
      option.disabled = why !== "";
      option.title = why || QUANTITIES.find(([value]) => value === option.value)![2];
      if (option.value === "raw") option.textContent = state.kind || "raw";
    }
    this.codeRow.hidden = !state.line;
    if (this.line.textContent !== state.line) this.line.textContent = state.line;
  }

  private async copyLine(): Promise<void> {
    const text = this.line.textContent ?? "";
    // Where the page may not write to the clipboard, the line is left selected for the keyboard.
    const range = document.createRange();
    range.selectNodeContents(this.line);
    const selection = window.getSelection();
    selection?.removeAllRanges();
    selection?.addRange(range);
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      done = false;
    }
    this.copy.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (this.copy.textContent = "Copy"), 1500);
  }
}
