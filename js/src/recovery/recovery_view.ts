// How much of the contacts comes back as residues are shown. A point is a mask: clicking it sets that mask.

import { embed, type BokehEvent, type Plot } from "../shared/bokeh_figure";
import { onceAFrame, type Theme } from "../shared/canvas";
import { isLive, NAMING, sequenceOf, sharedState, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "../shared/model";
import { readRuns, runsText } from "../shared/selection";
import { make, number, say } from "../shared/text";

/** One pattern's curve; a list entry a step. */
interface Curve {
  name: string;
  label: string;
  shown: number[];
  R: (number | null)[];
  /** Visible runs of each step's mask. */
  masks: Pair[][];
}

interface Curves {
  fragments: Pair[];
  source?: string;
  patterns: Curve[];
}

interface Nearest {
  curve: Curve;
  step: number;
}

/** How near, in pixels, the pointer must be to a point to mean it. */
const REACH = 16;

const sameRuns = (one: Pair[], other: Pair[]): boolean =>
  one.length === other.length && one.every(([first, last], k) => first === other[k]![0] && last === other[k]![1]);

class RecoveryView {
  private readonly undo = new Undo();
  private readonly title = make("div", "cj-title", "Recovery");
  private readonly caption = make("div", "cj-caption");
  private readonly button = make("button", "cj-button cj-compute", "", { type: "button" });
  private readonly bar = make("div", "cj-bar", "", { role: "progressbar", "aria-label": "patterns computed", "aria-valuemin": "0" });
  private readonly filled = make("div", "cj-filled");
  private readonly plotElement = make("div", "cj-bokeh");
  private readonly readout = make("div", "cj-readout");
  private readonly limits = make("div", "cj-caption cj-limits");
  private readonly error = make("div", "cj-error", "", { role: "alert" });
  private readonly notice = make("div", "cj-notice", "", { role: "note" });
  private readonly drawMarks = onceAFrame(() => this.marks());
  private plot: Plot | null = null;
  private problem = "";
  private near: Nearest | null = null;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-recovery");
    const head = make("div", "cj-head");
    const titles = make("div", "cj-titles");
    titles.append(this.title, this.caption);
    head.append(titles, this.button);
    this.bar.append(this.filled);
    el.replaceChildren(head, this.bar, this.error, this.plotElement, this.readout, this.limits, this.notice);
    this.undo.listen(this.button, "click", () => {
      this.button.disabled = true;
      this.model.send({ kind: this.running ? "cancel" : "compute" });
    });
    this.undo.on(model, ["change:status", "change:progress", "change:error", "change:notice", "change:limits", "change:proposed"], () => this.words());
    this.undo.on(state, NAMING, () => this.words());
    this.words();
    void this.open();
  }

  private get sequence(): SequenceInfo {
    return sequenceOf(this.state);
  }

  private get curves(): Curves | null {
    return this.model.get<Curves | null>("curves");
  }

  private get running(): boolean {
    return this.model.get<string>("status") === "running";
  }

  /** Visible runs of the mask that the views share; without a mask all is visible. */
  private get visible(): Pair[] {
    const { length } = this.sequence.residues;
    const mask = this.state.get<Pair[] | null>("mask");
    return mask === null || mask === undefined ? [[1, length]] : readRuns(mask, length);
  }

  private async open(): Promise<void> {
    const made = await embed(this.model, this.el, this.plotElement, this.undo, (theme) => this.paint(theme));
    if (made === null) return;
    if (typeof made === "string") {
      this.problem = made;
      this.words();
      return;
    }
    this.plot = made;
    this.paint(made.theme);
    made.on("mousemove", (event) => this.point(event));
    made.on("mouseleave", () => this.point(null));
    made.on("tap", (event) => this.click(event));
    this.undo.on(this.model, ["change:curves"], () => this.draw());
    this.undo.on(this.state, ["change:mask"], () => this.drawMarks.ask());
    this.draw();
    this.el.dataset.ready = "true";
  }

  private draw(): void {
    const curves = this.curves?.patterns ?? [];
    this.near = null;
    this.model.get<[string, string, string][]>("patterns").forEach(([name]) => {
      const curve = curves.find((one) => one.name === name);
      const known = curve ? curve.shown.map((_, k) => k).filter((k) => curve.R[k] !== null) : [];
      this.plot?.fill(name, { x: known.map((k) => curve!.shown[k]!), y: known.map((k) => curve!.R[k]!) });
    });
    const all = curves.flatMap((curve) => curve.R.filter((value): value is number => value !== null));
    this.plot?.named("y range").setv({ start: Math.min(0, ...all) - 0.03, end: Math.max(1, ...all) + 0.06 });
    // Half is a bound for probabilities only.
    this.plot?.named("half line").setv({ visible: this.curves?.source !== "jacobian" });
    this.marks();
    this.words();
  }

  /** Where the current mask is on the curves: a diamond where it is one of their steps, else a line at its size. */
  private marks(): void {
    const { visible } = this;
    const shown = visible.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    const at: { x: number[]; y: number[] } = { x: [], y: [] };
    for (const curve of this.curves?.patterns ?? []) {
      curve.masks.forEach((mask, k) => {
        const value = curve.R[k];
        if (value !== null && value !== undefined && sameRuns(mask, visible)) {
          at.x.push(curve.shown[k]!);
          at.y.push(value);
        }
      });
    }
    this.plot?.fill("current", at);
    const line = this.curves && !at.x.length ? [shown] : [];
    this.plot?.fill("current size", { x: line });
    const { near } = this;
    this.plot?.fill("near", near ? { x: [near.curve.shown[near.step]!], y: [near.curve.R[near.step]!] } : { x: [], y: [] });
    this.el.dataset.current = at.x.length ? "point" : line.length ? "line" : "none";
    this.words();
  }

  private nearest(event: BokehEvent): Nearest | null {
    let found: Nearest | null = null;
    let least = REACH;
    for (const curve of this.curves?.patterns ?? []) {
      curve.shown.forEach((shown, step) => {
        const value = curve.R[step];
        if (value === null || value === undefined || !this.plot) return;
        const [x, y] = this.plot.place(shown, value);
        const [pointerX, pointerY] = this.plot.place(event.x, event.y);
        const distance = Math.hypot(x - pointerX, y - pointerY);
        if (distance < least) [least, found] = [distance, { curve, step }];
      });
    }
    return found;
  }

  private point(event: BokehEvent | null): void {
    const near = event && this.nearest(event);
    if (near?.curve === this.near?.curve && near?.step === this.near?.step) return;
    this.near = near;
    this.plotElement.style.cursor = near ? "pointer" : "";
    this.drawMarks.ask();
  }

  private click(event: BokehEvent): void {
    const near = this.nearest(event);
    if (!near) return;
    this.state.set("mask", near.curve.masks[near.step]);
    this.state.save_changes();
  }

  private paint(theme: Theme): void {
    this.plot?.paint("half line", { line_color: theme.soft });
    this.plot?.paint("current mark", { fill_color: theme.accent, line_color: theme.ink });
    this.plot?.paint("current size line", { line_color: theme.accent });
    this.plot?.paint("near mark", { line_color: theme.ink });
  }

  private words(): void {
    const { model, curves, sequence, near } = this;
    const proposed = readRuns(model.get("proposed"), sequence.residues.length);
    const [done, total] = model.get<[number, number]>("progress");
    this.caption.textContent = curves
      ? `R of the contacts ${curves.fragments.length > 1 ? "between" : "within"} ${this.named(curves.fragments)} as more is shown`
      : "how much of the contacts comes back as residues are shown";
    const same = curves && sameRuns(curves.fragments, proposed);
    this.button.textContent = this.running ? "Cancel" : same ? "Compute again" : proposed.length ? `Compute for ${this.named(proposed)}` : "Compute";
    this.button.disabled = !this.running && !proposed.length;
    this.button.hidden = !isLive(model) || Boolean(this.problem);
    this.bar.hidden = !this.running;
    this.filled.style.width = `${total ? (100 * done) / total : 0}%`;
    this.bar.setAttribute("aria-valuemax", String(total));
    this.bar.setAttribute("aria-valuenow", String(done));
    say(this.error, model.get<string>("error"));
    say(this.limits, model.get<string>("limits"));
    say(this.notice, model.get<string>("notice"));
    this.readout.classList.toggle("cj-hint", !near);
    if (this.problem) this.readout.textContent = this.problem;
    else if (near) {
      const { curve, step } = near;
      const rest = ` · ${curve.label} · ${curve.shown[step]} residues shown: ${runsText(sequence, curve.masks[step]!)} · click to set this mask`;
      this.readout.replaceChildren(make("b", "", `R ${number(curve.R[step]!)}`), document.createTextNode(rest));
    } else if (curves) this.readout.textContent = "Point at a step to read it, click it to set its mask. The mark is the current mask.";
    else this.readout.textContent = proposed.length ? "" : "Select a pair on the map, or choose residues, to ask what brings their contacts back.";
  }

  private named(runs: Pair[]): string {
    return runs.map((run) => runsText(this.sequence, [run])).join(" and ");
  }

  dispose(): void {
    this.drawMarks.stop();
    this.undo.run();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new RecoveryView(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
