// The header of the structure, which also draws in nglview's stage below it: what is to be seen comes from the
// traits, and what a person points at goes to the shared state, without a kernel.

import { decode, type ArrayPayload } from "../shared/arrays";
import { onceAFrame, readTheme, watchTheme, type Theme } from "../shared/canvas";
import { NAMING, sequenceOf, sharedState, throttledSave, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "../shared/model";
import { readPair, readRuns, runsText } from "../shared/selection";
import { make, residueLabel, say } from "../shared/text";
import { viewBeside } from "./ngl_view";
import { clicked, countPlaced, isResolved, linesOf, positionOf, positionsOf, selectionText, type Atoms, type Line } from "./scene";
import { lineColour, StructureStage, type Pointed } from "./stage";

/** How often the viewer is looked for, and after how long a person is told that it does not come, in milliseconds. */
const LOOK = 60;
const PATIENCE = 12_000;

const HOVER_WAIT = 120;

const ABSENT =
  "nglview's part in the page does not answer, so there is no picture. Most often its extension is missing where JupyterLab runs: " +
  'there, run pip install "nglview!=4.0.1" and start JupyterLab anew. A browser without WebGL cannot draw it either.';

const KINDS = [
  [true, "in contact"],
  [false, "not in contact"],
  [null, "not known"],
] as const;

class StructureHeader {
  private readonly undo = new Undo();
  private readonly title = make("div", "cj-title");
  private readonly caption = make("div", "cj-caption");
  private readonly choice = make("select", "cj-choice", "", { "aria-label": "colour by" });
  private readonly box = make("input", "", "", { type: "checkbox" });
  private readonly check = make("label", "cj-control cj-check");
  private readonly legend = make("div", "cj-key");
  private readonly error = make("div", "cj-error", "", { role: "alert" });
  private readonly hoverSave: ReturnType<typeof throttledSave>;
  private readonly redraw = onceAFrame(() => this.drawChosen());
  private stage: StructureStage | null = null;
  private absent = "";
  private over = false;
  private hoverTimer: ReturnType<typeof setTimeout> | undefined;
  private gone = false;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-structure");
    const head = make("div", "cj-head");
    const titles = make("div", "cj-titles");
    titles.append(this.title, this.caption);
    this.check.append(this.box, document.createTextNode("contacts"));
    const colour = make("label", "cj-control");
    colour.append(make("span", "cj-name", "Colour"), this.choice);
    const controls = make("div", "cj-side");
    controls.append(colour, this.check);
    head.append(titles, controls);
    el.replaceChildren(head, this.legend, this.error);
    this.hoverSave = throttledSave(state, HOVER_WAIT);
    const { undo } = this;
    undo.listen(this.choice, "change", () => this.set("colour_by", this.choice.value));
    undo.listen(this.box, "change", () => this.set("show_contacts", this.box.checked));
    undo.on(model, ["change:title", "change:caption", "change:tracks", "change:colour_by", "change:show_contacts", "change:problem"], () => this.words());
    undo.add(() => this.redraw.stop());
    this.words();
    if (!model.get<string>("problem")) void this.open();
  }

  private get sequence(): SequenceInfo {
    return sequenceOf(this.state);
  }

  private get length(): number {
    return this.sequence.residues.length;
  }

  private get atoms(): Atoms {
    return decode(this.model.get<ArrayPayload | null>("atoms"))?.values ?? [];
  }

  private get theme(): Theme {
    return readTheme(this.el);
  }

  private set(name: string, value: unknown): void {
    this.model.set(name, value);
    this.model.save_changes();
  }

  /** Wait for the viewer, however long it takes, and say so when it takes too long. */
  private async open(): Promise<void> {
    const begun = performance.now();
    for (;;) {
      if (this.gone) return;
      const view = await viewBeside(this.model, this.model.get("viewer"), this.el).catch(() => null);
      if (view) {
        const stage = await StructureStage.open(view, this.model.get("text"), this.model.get("title"));
        if (this.gone) stage.dispose();
        else this.begin(stage);
        return;
      }
      if (!this.absent && this.el.isConnected && performance.now() - begun > PATIENCE) {
        this.absent = ABSENT;
        this.words();
      }
      await new Promise((resolve) => setTimeout(resolve, this.absent ? 10 * LOOK : LOOK));
    }
  }

  private begin(stage: StructureStage): void {
    const { model, state, undo } = this;
    this.stage = stage;
    this.absent = "";
    const fit = (): void => {
      const width = this.el.parentElement?.clientWidth ?? 0;
      if (width > 0) stage.resize(width, model.get<number>("height"));
    };
    const watcher = new ResizeObserver(fit);
    if (this.el.parentElement) watcher.observe(this.el.parentElement);
    undo.add(() => watcher.disconnect());
    undo.add(watchTheme(() => this.paint()));
    undo.on(model, ["change:shades", "change:colour_by"], () => this.shade());
    undo.on(model, ["change:pairs", "change:show_contacts"], () => this.drawLines());
    undo.on(state, ["change:min_separation"], () => this.drawLines());
    undo.on(state, ["change:selection", "change:residues"], () => this.redraw.ask());
    undo.on(state, ["change:hover"], () => this.hoverSoon());
    undo.on(state, NAMING, () => this.drawLines());
    stage.on("clicked", (pointed) => this.click(pointed));
    stage.on("hovered", (pointed) => this.hover(pointed));
    const picture = this.el.parentElement;
    if (picture) undo.listen(picture, "pointerleave", () => this.hover(null));
    fit();
    this.shade();
    this.paint();
    this.drawChosen();
    this.words();
    this.el.dataset.ready = "true";
  }

  private paint(): void {
    const { theme } = this;
    this.stage?.paint(theme);
    this.el.dataset.dark = String(theme.dark);
    this.drawLines();
  }

  private shade(): void {
    const array = decode(this.model.get<ArrayPayload | null>("shades"));
    const row = this.model.get<string[]>("tracks").indexOf(this.model.get("colour_by"));
    if (!array || row < 0) return;
    const length = array.shape[1]!;
    this.stage?.shade(this.atoms, Array.from(array.values.subarray(row * length, (row + 1) * length)));
  }

  private drawLines(): void {
    const pairs = decode(this.model.get<ArrayPayload | null>("pairs"));
    const points = decode(this.model.get<ArrayPayload | null>("points"));
    const { sequence, theme } = this;
    const chain = new Uint8Array(this.length);
    sequence.chains.forEach(([, first, last], k) => chain.fill(k, first - 1, last));
    const shown = pairs && points && this.model.get<boolean>("show_contacts");
    const lines = shown ? linesOf(pairs.values, chain, this.state.get<number>("min_separation"), countPlaced(points.values)) : [];
    const names = lines.map(({ pair }) => `${residueLabel(sequence, pair[0])} – ${residueLabel(sequence, pair[1])}`);
    if (points) this.stage?.draw(lines, points.values, names, theme);
    this.lineOf = new Map(names.map((name, k) => [name, lines[k]!]));
    this.legend.hidden = !lines.length;
    this.legend.replaceChildren(
      ...KINDS.flatMap(([contact, text]) => {
        const count = lines.filter((line) => line.contact === contact).length;
        if (!count) return [];
        const entry = make("span", "cj-entry", `${text} ${count}`);
        const sample = make("span", "cj-sample");
        sample.style.background = lineColour(contact, theme);
        entry.prepend(sample);
        return [entry];
      }),
    );
    if (lines.length) this.legend.prepend(make("span", "cj-name", `${lines.length} highest pairs:`));
    this.el.dataset.lines = String(lines.length);
  }

  private lineOf = new Map<string, Line>();

  private drawChosen(): void {
    const runs = readRuns(this.state.get("residues"), this.length);
    const pair = readPair(this.state.get("selection"), this.length);
    const positions = positionsOf(runs, pair);
    this.stage?.choose(selectionText(this.atoms, positions));
    this.el.dataset.chosen = positions.filter((position) => isResolved(this.atoms, position)).join(" ");
    this.words();
  }

  /** Drawing takes long where there is no graphics processor, so a pointer that passes by is let pass. */
  private hoverSoon(): void {
    clearTimeout(this.hoverTimer);
    this.hoverTimer = setTimeout(() => {
      const hover = readPair(this.state.get("hover"), this.length);
      this.stage?.point(selectionText(this.atoms, hover ?? []));
      this.words();
    }, HOVER_WAIT);
  }

  private click(pointed: Pointed | null): void {
    const line = pointed?.line === undefined ? undefined : this.lineOf.get(pointed.line);
    if (line) this.state.set("selection", line.pair);
    else {
      const position = pointed?.atom === undefined ? null : positionOf(this.atoms, pointed.atom);
      if (position === null) return;
      const { residues, selection } = clicked(readRuns(this.state.get("residues"), this.length), position);
      this.state.set("residues", residues);
      if (selection) this.state.set("selection", selection);
    }
    this.state.save_changes();
  }

  private hover(pointed: Pointed | null): void {
    const line = pointed?.line === undefined ? undefined : this.lineOf.get(pointed.line);
    const position = pointed?.atom === undefined ? null : positionOf(this.atoms, pointed.atom);
    const now: Pair | null = line ? line.pair : position === null ? null : [position, position];
    if (!now && !this.over) return;
    this.over = now !== null;
    this.hoverSave.set("hover", now);
  }

  private words(): void {
    const { model } = this;
    this.title.textContent = model.get<string>("title");
    const hover = readPair(this.state.get("hover"), this.length);
    const pair = readPair(this.state.get("selection"), this.length);
    const runs = readRuns(this.state.get("residues"), this.length);
    const named = (positions: Pair): string => [...new Set(positions)].map((position) => residueLabel(this.sequence, position)).join(" – ");
    this.el.dataset.pointed = hover ? named(hover) : "";
    const away = positionsOf(runs, pair).filter((position) => !isResolved(this.atoms, position));
    const chosen = [runs.length ? runsText(this.sequence, runs) : "", pair ? named(pair) : ""].filter(Boolean).join(" · ");
    const parts = hover ? [named(hover)] : chosen ? [chosen] : [model.get<string>("caption")];
    if (!hover && away.length) parts.push(`not resolved: ${away.slice(0, 4).map((position) => residueLabel(this.sequence, position)).join(", ")}${away.length > 4 ? " …" : ""}`);
    this.caption.textContent = parts.join(" · ");
    const names = model.get<string[]>("tracks");
    if (names.join("\n") !== [...this.choice.options].map((option) => option.value).join("\n")) {
      this.choice.replaceChildren(...names.map((name) => make("option", "", name, { value: name })));
    }
    this.choice.value = model.get<string>("colour_by");
    this.box.checked = model.get<boolean>("show_contacts");
    const problem = model.get<string>("problem") || this.absent;
    say(this.error, problem);
    // The notebook's own sign of a missing viewer says less.
    this.el.classList.toggle("cj-absent", Boolean(problem));
    this.choice.parentElement!.hidden = this.check.hidden = Boolean(problem);
    if (problem) this.legend.hidden = true;
  }

  dispose(): void {
    this.gone = true;
    clearTimeout(this.hoverTimer);
    this.hoverSave.stop();
    this.undo.run();
    this.stage?.dispose();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new StructureHeader(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
