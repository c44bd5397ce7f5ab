// What this front end knows of the notebook: a model is a bag of traits that tells when one changes.

export interface Model {
  get<T>(name: string): T;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(name: string, callback: (...args: never[]) => void): void;
  off(name: string, callback: (...args: never[]) => void): void;
  send(content: unknown): void;
  widget_manager?: { get_model(id: string): Promise<Model> };
  /** False in a page without a kernel. */
  comm_live?: boolean;
}

export interface RenderContext {
  model: Model;
  el: HTMLElement;
}

/** The sequence as `state.py` sends it. */
export interface SequenceInfo {
  name: string;
  residues: string;
  /** One text a residue: the number that a person knows it by. */
  numbers: string[];
  /** Chain name and its first and last position, 1-based, both included. */
  chains: [string, number, number][];
}

export type Pair = [number, number];

/** What changes when residues are called otherwise. */
export const NAMING = ["change:sequence", "change:numbering", "change:structure_sequence"];

/** The sequence with the numbers and chain names that the shared state chooses: positions, or the structure's own. */
export function sequenceOf(state: Model): SequenceInfo {
  const sequence = state.get<SequenceInfo | null>("sequence") ?? { name: "", residues: "", numbers: [], chains: [] };
  if (state.get<string>("numbering") === "position") return numberedByPosition(sequence);
  return state.get<SequenceInfo | null | undefined>("structure_sequence") ?? sequence;
}

export const numberedByPosition = (sequence: SequenceInfo): SequenceInfo => ({
  ...sequence,
  numbers: Array.from(sequence.residues, (_, k) => String(k + 1)),
});

/** Whether residues are called differently by their positions and by the structure's numbers. */
export function twoNumberings(state: Model): boolean {
  const sequence = state.get<SequenceInfo>("sequence");
  const own = state.get<SequenceInfo | null | undefined>("structure_sequence") ?? sequence;
  return own.numbers.some((number, k) => number !== String(k + 1));
}

const REFERENCE = "IPY_MODEL_";

/** The model that holds what views share: another widget's where `state` names one, else the view's own. */
export async function sharedState(model: Model): Promise<Model> {
  const reference = model.get<string | null>("state");
  if (!reference || !model.widget_manager) return model;
  return model.widget_manager.get_model(String(reference).replace(REFERENCE, ""));
}

/**
 * Whether there is a kernel to ask. What a view is handed may be a wrapping that does not tell; the model of its
 * layout is the notebook's own and does.
 */
export function isLive(model: Model): boolean {
  const layout = model.get<{ comm_live?: boolean } | string | null>("layout");
  return (typeof layout === "object" ? layout?.comm_live : undefined) ?? model.comm_live ?? true;
}

/** Collects what must be undone when a view goes away; what is added after that is undone at once. */
export class Undo {
  private steps: (() => void)[] = [];
  private gone = false;

  /** Whether the view went away, which one that waited for something must ask. */
  get done(): boolean {
    return this.gone;
  }

  add(step: () => void): void {
    if (this.gone) step();
    else this.steps.push(step);
  }

  on(model: Model, names: string[], callback: (...args: never[]) => void): void {
    for (const name of names) {
      model.on(name, callback);
      this.add(() => model.off(name, callback));
    }
  }

  listen<K extends keyof HTMLElementEventMap>(
    target: HTMLElement,
    name: K,
    callback: (event: HTMLElementEventMap[K]) => void,
    options?: AddEventListenerOptions,
  ): void {
    target.addEventListener(name, callback, options);
    this.add(() => target.removeEventListener(name, callback, options));
  }

  run(): void {
    this.gone = true;
    for (const step of this.steps.splice(0).reverse()) step();
  }
}

/** Set a trait here at once and tell the kernel at most every `wait` milliseconds; the last value always goes. */
export function throttledSave(model: Model, wait: number): { set(name: string, value: unknown): void; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let again = false;
  const send = (): void => {
    model.save_changes();
    again = false;
    timer = setTimeout(() => {
      timer = undefined;
      if (again) send();
    }, wait);
  };
  return {
    set(name, value) {
      model.set(name, value);
      if (timer === undefined) send();
      else again = true;
    },
    stop() {
      if (timer !== undefined) clearTimeout(timer);
      timer = undefined;
      if (again) model.save_changes();
      again = false;
    },
  };
}
