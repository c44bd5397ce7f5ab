// What each residue does and suffers, along the chain. Dragging across residues chooses them, a click chooses one.

import { decode, type ArrayPayload } from "../shared/arrays";
import { embed, type BokehEvent, type Plot } from "../shared/bokeh_figure";
import { onceAFrame, type Theme } from "../shared/canvas";
import { NAMING, sequenceOf, sharedState, throttledSave, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "../shared/model";
import { clickResidue, readPair, readRuns, runsText } from "../shared/selection";
import { make, number, residueLabel } from "../shared/text";

/** How much of a lane bars may take; the rest is its name's. */
const FULL = 0.68;
const HOVER_WAIT = 100;

class SensitivityView {
  private readonly undo = new Undo();
  private readonly title = make("div", "cj-title", "Residues");
  private readonly caption = make("div", "cj-caption", "block norms of J, centred over letters · entropy of the unmutated prediction");
  private readonly plotElement = make("div", "cj-bokeh");
  private readonly readout = make("div", "cj-readout");
  private readonly hoverSave: ReturnType<typeof throttledSave>;
  private readonly drawMarks = onceAFrame(() => this.marks());
  private plot: Plot | null = null;
  private values: ArrayLike<number> | null = null;
  /** The run of residues that a drag has reached. */
  private dragged: Pair | null = null;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-sensitivity");
    el.replaceChildren(this.title, this.caption, this.plotElement, this.readout);
    this.hoverSave = throttledSave(state, HOVER_WAIT);
    void this.open();
  }

  private get sequence(): SequenceInfo {
    return sequenceOf(this.state);
  }

  private get length(): number {
    return this.sequence.residues.length;
  }

  private get hover(): Pair | null {
    return readPair(this.state.get("hover"), this.length);
  }

  private async open(): Promise<void> {
    const made = await embed(this.model, this.el, this.plotElement, this.undo, (theme) => this.paint(theme));
    if (made === null) return;
    if (typeof made === "string") {
      this.readout.textContent = made;
      return;
    }
    this.plot = made;
    this.paint(made.theme);
    const { model, state, undo } = this;
    made.on("mousemove", (event) => this.point(this.residueAt(event.x)));
    made.on("mouseleave", () => this.point(null));
    made.on("tap", (event) => this.click(event));
    made.onDrag((ends, final) => this.brush(ends, final));
    undo.on(model, ["change:values"], () => this.bars());
    undo.on(state, ["change:selection", "change:hover", "change:residues", ...NAMING], () => this.drawMarks.ask());
    undo.on(state, NAMING, () => made.numberResidues(this.sequence));
    made.numberResidues(this.sequence);
    this.bars();
    this.marks();
    this.el.dataset.ready = "true";
  }

  private residueAt(x: number): number | null {
    const position = Math.round(x);
    return position >= 1 && position <= this.length ? position : null;
  }

  private point(position: number | null): void {
    const now = this.hover;
    if (position === null ? now !== null : now?.[0] !== position || now[1] !== position) {
      this.hoverSave.set("hover", position === null ? null : [position, position]);
    }
  }

  private click(event: BokehEvent): void {
    const position = this.residueAt(event.x);
    if (position === null) return;
    clickResidue(this.state, position, Boolean(event.modifiers?.shift));
  }

  private brush(ends: [number, number] | null, final: boolean): void {
    const first = ends && Math.max(1, Math.ceil(Math.min(...ends) - 0.5));
    const last = ends && Math.min(this.length, Math.floor(Math.max(...ends) + 0.5));
    this.dragged = first && last && first <= last ? [first, last] : null;
    if (final && this.dragged) {
      this.state.set("residues", [this.dragged]);
      this.state.save_changes();
    }
    if (final) this.dragged = null;
    this.drawMarks.ask();
  }

  private bars(): void {
    const array = decode(this.model.get<ArrayPayload | null>("values"));
    this.values = array && array.shape[1] === this.length ? array.values : null;
    const tracks = this.model.get<[string, string][]>("tracks");
    const names: { x: number[]; y: number[]; text: string[] } = { x: [], y: [], text: [] };
    tracks.forEach(([name], k) => {
      const bottom = tracks.length - 1 - k;
      const values = this.values ? Array.from(this.values).slice(k * this.length, (k + 1) * this.length) : [];
      const known = values.map((_, i) => i).filter((i) => Number.isFinite(values[i]));
      const most = Math.max(0, ...known.map((i) => values[i]!));
      this.plot?.fill(`track ${k}`, {
        x: known.map((i) => i + 1),
        top: known.map((i) => bottom + (most > 0 ? (FULL * Math.max(0, values[i]!)) / most : 0)),
      });
      names.x.push(0.7);
      names.y.push(bottom + 0.97);
      const rest = known.length ? `, up to ${number(most)}${name === "entropy" ? " nats" : ""}` : this.values ? ", not known" : "";
      names.text.push(name + rest);
    });
    this.plot?.fill("names", names);
    this.words();
  }

  private marks(): void {
    const strips = (runs: Pair[]): Record<string, number[]> => ({
      x0: runs.map(([first]) => first - 0.5),
      x1: runs.map(([, last]) => last + 0.5),
    });
    const single = (pair: Pair | null): Pair[] => (pair ? [...new Set(pair)].map((position) => [position, position]) : []);
    this.plot?.fill("residues", strips(this.dragged ? [this.dragged] : readRuns(this.state.get("residues"), this.length)));
    this.plot?.fill("pair", strips(single(readPair(this.state.get("selection"), this.length))));
    this.plot?.fill("hover", strips(single(this.hover)));
    this.words();
  }

  private paint(theme: Theme): void {
    this.plot?.paint("residues band", { fill_color: theme.accent, fill_alpha: 0.22 });
    this.plot?.paint("pair band", { fill_color: theme.ink, fill_alpha: 0.28 });
    this.plot?.paint("hover band", { fill_color: theme.ink, fill_alpha: 0.16 });
    this.plot?.paint("lane names", { text_color: theme.soft, text_font: theme.font });
  }

  private words(): void {
    const { hover, values, length } = this;
    const tracks = this.model.get<[string, string][]>("tracks");
    const runs = readRuns(this.state.get("residues"), length);
    const over = hover ? [hover[0]] : runs.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, k) => first + k));
    const mean = (k: number): number => {
      const known = over.map((position) => values?.[k * length + position - 1] ?? NaN).filter(Number.isFinite);
      return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
    };
    const what = hover ? residueLabel(this.sequence, hover[0]) : runsText(this.sequence, runs);
    const many = over.length > 1 ? `${over.length} residues, mean ` : "";
    const said = tracks.map(([name], k) => (Number.isFinite(mean(k)) ? `${name} ${number(mean(k))}${name === "entropy" ? " nats" : ""}` : ""));
    const rest = said.filter(Boolean).join(" · ") || "not computed yet";
    const hint = values ? "Drag across residues to choose them, click to choose one." : "Shown as soon as the Jacobian is complete.";
    this.readout.replaceChildren(make("b", "", over.length ? what : ""), document.createTextNode(over.length ? ` · ${many}${rest}` : hint));
    this.readout.classList.toggle("cj-hint", !over.length);
  }

  dispose(): void {
    this.hoverSave.stop();
    this.drawMarks.stop();
    this.undo.run();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new SensitivityView(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
