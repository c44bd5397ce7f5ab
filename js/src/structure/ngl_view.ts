// As much of nglview's view and of NGL's objects as is used here, and how to find the view that lies below a head.

import type { Model } from "../shared/model";

interface Signal<T> {
  add(callback: (value: T) => void): void;
  remove(callback: (value: T) => void): void;
}

export interface Representation {
  setSelection(selection: string): void;
  setParameters(parameters: Record<string, unknown>): void;
}

export interface Component {
  structure: { atomStore: { count: number; bfactor: Float32Array } };
  addRepresentation(kind: string, parameters: Record<string, unknown>): Representation;
  updateRepresentations(what: Record<string, boolean>): void;
  autoView(duration?: number): void;
}

export interface Picked {
  atom?: { index: number };
  closestBondAtom?: { index: number };
  cylinder?: { name: string };
}

export interface Stage {
  compList: Component[];
  signals: { clicked: Signal<Picked | undefined>; hovered: Signal<Picked | undefined> };
  loadFile(file: Blob, parameters: Record<string, unknown>): Promise<Component>;
  viewerControls: { zoom(share: number): void };
  removeComponent(component: Component): void;
  setParameters(parameters: Record<string, unknown>): void;
  dispose(): void;
}

export type Cylinder = ["cylinder", number[], number[], number[], number, string];

export interface NglView {
  el: HTMLElement;
  stage?: Stage;
  $pickingInfo?: { hide(): void };
  addShape(name: string, shapes: Cylinder[]): void;
  setSize(width: string, height: string): void;
  request_repr_dict: () => void;
}

interface NglModel extends Model {
  views?: Record<string, Promise<NglView>>;
}

/** The view of nglview's widget whose element lies beside `el` in the same box; null until it has drawn its stage. */
export async function viewBeside(model: Model, id: string, el: HTMLElement): Promise<NglView | null> {
  const box = el.parentElement;
  if (!box || !el.isConnected) return null;
  const ngl = (await model.widget_manager?.get_model(id)) as NglModel | undefined;
  for (const promise of Object.values(ngl?.views ?? {})) {
    const view = await promise;
    if (view.stage && box.contains(view.el)) return view;
  }
  return null;
}
