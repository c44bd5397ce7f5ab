// Draws one structure in nglview's stage: a cartoon in the colours of a track, chosen residues, contact lines.

import { type Theme } from "../shared/canvas";
import { cssColour, parseHex, type Triple } from "../shared/colour";
import type { Component, Cylinder, NglView, Picked, Representation, Stage } from "./ngl_view";
import { shadesOfAtoms, type Atoms, type Line } from "./scene";

/** From little to much after what is not known, on light and on dark ground. */
const SHADES = {
  light: ["#eceef1", "#c3cad4", "#8fb3dc", "#3b7dd8", "#7a4fc0", "#c2307a"],
  dark: ["#2c313a", "#5c6676", "#5f93cf", "#4f9bff", "#a37be8", "#ff6fae"],
};

/** Radius of a contact line in Å. */
const RADIUS = 0.2;

const UNKNOWN: Triple = [115, 128, 148];

const asNumber = (hex: string): number => parseInt(hex.slice(1), 16);

export interface Pointed {
  atom?: number;
  line?: string;
}

/** What a pick is about; null for nothing of ours. */
export function pointedAt(picked: Picked | undefined): Pointed | null {
  if (picked?.cylinder) return { line: picked.cylinder.name };
  const atom = picked?.atom ?? picked?.closestBondAtom;
  return atom ? { atom: atom.index } : null;
}

export class StructureStage {
  private lines: Component | null = null;
  private readonly callbacks: ["clicked" | "hovered", (picked: Picked | undefined) => void][] = [];

  private constructor(
    private readonly view: NglView,
    private readonly stage: Stage,
    private readonly component: Component,
    private readonly chain: Representation,
    private readonly chosen: Representation,
    private readonly pointed: Representation,
  ) {}

  /** Read the structure; what is drawn in it waits for that. */
  static async open(view: NglView, text: string, name: string): Promise<StructureStage> {
    const stage = view.stage!;
    // What is drawn is this module's to say; nglview would send it to the kernel and draw it over in another view.
    view.request_repr_dict = () => undefined;
    view.$pickingInfo?.hide();
    const component = await stage.loadFile(new Blob([text], { type: "text/plain" }), { ext: "pdb", name, defaultRepresentation: false });
    const add = (kind: string, parameters: Record<string, unknown>): Representation => component.addRepresentation(kind, parameters);
    const chain = add("cartoon", { sele: "protein", colorScheme: "bfactor", quality: "medium" });
    const chosen = add("ball+stick", { sele: "none" });
    const pointed = add("ball+stick", { sele: "none", radiusScale: 1.9, opacity: 0.55 });
    component.autoView();
    // NGL leaves half of the picture free around a structure.
    stage.viewerControls.zoom(0.3);
    return new StructureStage(view, stage, component, chain, chosen, pointed);
  }

  on(signal: "clicked" | "hovered", callback: (pointed: Pointed | null) => void): void {
    const heard = (picked: Picked | undefined): void => callback(pointedAt(picked));
    this.stage.signals[signal].add(heard);
    this.callbacks.push([signal, heard]);
  }

  resize(width: number, height: number): void {
    this.view.setSize(`${width}px`, `${height}px`);
  }

  paint(theme: Theme): void {
    this.stage.setParameters({ backgroundColor: `#${theme.surface.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}` });
    const stops = SHADES[theme.dark ? "dark" : "light"];
    this.chain.setParameters({ colorScale: stops.map(asNumber), colorDomain: [-25, 100] });
    this.pointed.setParameters({ colorScheme: "uniform", colorValue: theme.accent });
  }

  shade(atoms: Atoms, shades: ArrayLike<number>): void {
    shadesOfAtoms(atoms, shades, this.component.structure.atomStore.bfactor.subarray(0, this.component.structure.atomStore.count));
    this.component.updateRepresentations({ color: true });
  }

  choose(selection: string): void {
    this.chosen.setSelection(selection);
  }

  point(selection: string): void {
    this.pointed.setSelection(selection);
  }

  /** Replace the lines; `points` are where each position stands. */
  draw(lines: Line[], points: ArrayLike<number>, names: string[], theme: Theme): void {
    if (this.lines) this.stage.removeComponent(this.lines);
    this.lines = null;
    if (!lines.length) return;
    const colours = { true: parseHex(theme.good), false: parseHex(theme.bad), null: UNKNOWN };
    const at = (position: number): number[] => [0, 1, 2].map((axis) => points[3 * (position - 1) + axis]!);
    const cylinders = lines.map(({ pair: [i, j], contact }, k): Cylinder => {
      const colour = colours[String(contact) as keyof typeof colours].map((part) => part / 255);
      return ["cylinder", at(i), at(j), colour, RADIUS, names[k]!];
    });
    this.view.addShape("contacts", cylinders);
    this.lines = this.stage.compList[this.stage.compList.length - 1] ?? null;
  }

  dispose(): void {
    for (const [signal, heard] of this.callbacks) this.stage.signals[signal].remove(heard);
    // A page has room for few WebGL contexts.
    this.stage.dispose();
  }
}

export const lineColour = (contact: boolean | null, theme: Theme): string => (contact === null ? cssColour(UNKNOWN) : contact ? theme.good : theme.bad);
