// The contact map: an L × L picture that fills while the kernel computes, and answers the pointer without it.

import { decode, patchRows, type ArrayPayload, type LabelledArray } from "./arrays";
import { onceAFrame, paintRows, poolHighest, readTheme, sizeCanvas, watchTheme, drawLegend, type Paint, type Theme } from "./canvas";
import { cssColour, mix, pack, sequential, type Triple } from "./colour";
import { cellAt, chainIndex, clampSight, maskedResidues, reveal, scaleTicks, whole, zoomAt, type Sight } from "./geometry";
import { HeadFrames, type FrameMessage } from "./head_frame";
import { controls, type Controls } from "./map_controls";
import { drawAxes, drawChains, drawMarks, drawMasked, drawPair, drawResidues, MARGIN, type Frame } from "./map_drawing";
import { listenToPointer } from "./map_pointer";
import { sharedState, throttledSave, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "./model";
import { colourLimits, countedValues, topPairs, type Limits } from "./scores";
import { movePair, readPair, readRuns, samePair } from "./selection";
import { make, number, pairText, tickText } from "./text";

/** What the kernel sends while rows come in. */
interface RowsMessage {
  kind: "rows";
  /** 1-based rows, in the order in which the buffer holds them. */
  positions: number[];
}

const LARGEST_PLOT = 560;
const HOVER_WAIT = 100;
const LEGEND_WIDTH = 190;

class ContactMapView {
  private readonly undo = new Undo();
  private readonly base = make("canvas", "cj-layer");
  private readonly overlay: HTMLCanvasElement;
  private readonly title = make("div", "cj-title");
  private readonly caption = make("div", "cj-caption");
  private readonly legend = make("canvas", "cj-legend", "", { role: "img" });
  private readonly plot = make("div", "cj-plot");
  private readonly readout = make("div", "cj-readout");
  private readonly controls: Controls;
  private readonly hoverSave: ReturnType<typeof throttledSave>;
  private readonly drawBase = onceAFrame(() => this.paintBase());
  private readonly drawOverlay = onceAFrame(() => this.paintOverlay());
  private readonly image = document.createElement("canvas");
  private pixels: ImageData | null = null;
  private theme!: Theme;
  private colours: Triple[] = [];
  private sequence!: SequenceInfo;
  private chain: Uint8Array = new Uint8Array(0);
  private map: LabelledArray | null = null;
  private native: LabelledArray | null = null;
  private readonly frames: HeadFrames;
  private limits: Limits = { low: 0, high: 1 };
  private sight: Sight = whole(1);
  private size = 300;
  private top: [number, number][] | null = null;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    this.overlay = make("canvas", "cj-layer cj-touch", "", { tabindex: "0", role: "application", "aria-roledescription": "contact map" });
    this.controls = controls(state, model, this.undo, (factor) => this.zoom(factor));
    this.hoverSave = throttledSave(state, HOVER_WAIT);
    this.frames = new HeadFrames(state, () => this.length);
    el.classList.add("catjac", "cj-map");
    const head = make("div", "cj-head");
    const titles = make("div", "cj-titles");
    titles.append(this.title, this.caption);
    head.append(titles, this.legend);
    this.plot.append(this.base, this.overlay);
    el.replaceChildren(head, this.plot, this.readout, this.controls.element);
    this.readSequence();
    this.readTheme();
    this.readArrays();
    this.listen();
  }

  private get length(): number {
    return this.sequence.residues.length;
  }

  private get quantity(): string {
    return this.frames.frame?.quantity ?? this.model.get<string>("quantity");
  }

  private get label(): string {
    return this.frames.frame?.label ?? this.model.get<string>("label");
  }

  private get selection(): Pair | null {
    return readPair(this.state.get("selection"), this.length);
  }

  private get hover(): Pair | null {
    return readPair(this.state.get("hover"), this.length);
  }

  /** Visible fragments, as they are dragged now or as the mask has them. */
  private get mask(): [number, number][] | null {
    return this.state.get<[number, number][] | null>("mask_preview") ?? this.state.get<[number, number][] | null>("mask");
  }

  private listen(): void {
    const { undo, model, state } = this;
    undo.on(model, ["change:values"], () => this.frames.replaced());
    undo.on(model, ["change:values", "change:native"], () => this.refresh(() => this.readArrays()));
    undo.on(model, ["change:label", "change:caption", "change:quantity", "change:show_native", "change:show_top"], () => this.refresh());
    undo.on(model, ["msg:custom"], (message: RowsMessage | FrameMessage, buffers: DataView[]) => {
      if (message.kind === "rows") this.refresh(() => this.readRows(message.positions.map((position) => position - 1)));
      else if (message.kind === "frame" && this.frames.take(message, buffers[0])) this.refresh(() => this.readArrays());
    });
    undo.on(state, ["change:mask_preview"], () => this.refresh(() => this.frames.follow() && this.readArrays()));
    undo.on(state, ["change:sequence"], () => this.refresh(() => this.readSequence()));
    undo.on(state, ["change:selection", "change:hover", "change:residues"], () => this.drawOverlay.ask());
    undo.on(state, ["change:min_separation", "change:colour_percentile", "change:mask"], () => this.refresh(() => this.rescale(true)));
    const retheme = (): void => this.refresh(() => this.readTheme());
    undo.on(state, ["change:colour_map"], retheme);
    undo.add(watchTheme(retheme));
    const observer = new ResizeObserver(() => this.layout());
    observer.observe(this.plot);
    undo.add(() => observer.disconnect());
    window.addEventListener("resize", this.drawBase.ask);
    undo.add(() => window.removeEventListener("resize", this.drawBase.ask));
    listenToPointer(this.overlay, undo, {
      sight: () => this.sight,
      size: () => this.size,
      cells: () => this.length,
      pairAt: (event) => this.pairAt(event),
      look: (sight) => this.look(sight),
      hover: (pair) => this.setHover(pair),
      select: (pair) => this.select(pair),
    });
    undo.listen(this.overlay, "keydown", (event) => this.key(event));
    undo.listen(this.overlay, "focus", () => this.drawOverlay.ask());
  }

  private key(event: KeyboardEvent): void {
    const moved = movePair(this.selection, event.key, event.shiftKey, this.length);
    if (moved) {
      this.select(moved);
      this.look(reveal(this.sight, this.length, moved[1] - 1, moved[0] - 1));
    } else if (event.key === "Escape") this.select(null);
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.zoom(0);
    else return;
    // Jupyter listens to the same keys.
    event.preventDefault();
    event.stopPropagation();
  }

  private pairAt(event: MouseEvent): Pair | null {
    const box = this.overlay.getBoundingClientRect();
    const cell = cellAt(event.clientX - box.left - MARGIN.left, event.clientY - box.top - MARGIN.top, this.size, this.sight, this.length);
    return cell && [cell[0] + 1, cell[1] + 1];
  }

  private setHover(pair: Pair | null): void {
    if (!samePair(pair, this.hover)) this.hoverSave.set("hover", pair);
  }

  private select(pair: Pair | null): void {
    this.state.set("selection", pair);
    this.state.save_changes();
  }

  /** Come closer by `factor`, around the selection where there is one; 0 shows everything. */
  private zoom(factor: number): void {
    if (!factor) return this.look(whole(this.length));
    const centre = (start: number, position?: number): number =>
      position === undefined ? 0.5 : Math.min(1, Math.max(0, (position - 0.5 - start) / this.sight.span));
    const pair = this.selection;
    this.look(zoomAt(this.sight, this.length, centre(this.sight.x, pair?.[1]), centre(this.sight.y, pair?.[0]), factor));
  }

  private look(sight: Sight): void {
    this.sight = clampSight(sight, this.length);
    this.drawBase.ask();
  }

  private refresh(change?: () => void): void {
    change?.();
    this.drawBase.ask();
  }

  private readSequence(): void {
    this.sequence = this.state.get<SequenceInfo>("sequence");
    this.chain = chainIndex(this.sequence);
    this.sight = whole(this.length);
    this.controls.setLength(this.length);
    this.pixels = null;
  }

  private readTheme(): void {
    this.theme = readTheme(this.el);
    this.colours = sequential(this.state.get<string>("colour_map"), this.theme.surface, this.theme.dark);
    this.repaint();
  }

  private readArrays(): void {
    const map = this.frames.frame?.map ?? decode(this.model.get<ArrayPayload | null>("values"));
    this.map = map && map.shape[0] === this.length ? map : null;
    const native = decode(this.model.get<ArrayPayload | null>("native"));
    this.native = native && native.shape[0] === this.length ? native : null;
    this.rescale(true);
  }

  private readRows(rows: number[]): void {
    if (this.frames.frame) return;
    this.map = decode(this.model.get<ArrayPayload | null>("values"));
    if (!this.rescale(false)) for (const row of rows) this.repaint(row, row + 1);
  }

  /** Find the colour limits anew; small drifts while rows come in are let be, so that the picture does not flicker. */
  private rescale(always: boolean): boolean {
    this.top = null;
    if (!this.map) return false;
    const sorted = countedValues(this.map.values, this.length, this.chain, this.state.get<number>("min_separation"));
    // Probabilities under different masks are compared with each other, so their scale stays.
    const limits =
      this.quantity === "probability" ? { low: 0, high: 1 } : colourLimits(sorted, this.state.get<number>("colour_percentile"), this.quantity !== "norm");
    const drift = Math.abs(limits.high - this.limits.high) + Math.abs(limits.low - this.limits.low);
    if (!always && drift < 0.08 * (this.limits.high - this.limits.low)) return false;
    this.limits = limits;
    this.repaint();
    return true;
  }

  private get paint(): Paint {
    const faded = this.colours.map((colour) => mix(this.theme.surface, colour, 0.3));
    return {
      ...this.limits,
      bright: pack(this.colours),
      dim: pack(faded),
      chain: this.chain,
      separation: this.state.get<number>("min_separation"),
    };
  }

  private repaint(from = 0, to = this.length): void {
    if (!this.map) return;
    if (!this.pixels || this.pixels.width !== this.length) {
      this.image.width = this.image.height = this.length;
      this.pixels = new ImageData(this.length, this.length);
      [from, to] = [0, this.length];
    }
    paintRows(new Uint32Array(this.pixels.data.buffer), this.map.values, this.length, from, to, this.paint);
    this.image.getContext("2d")!.putImageData(this.pixels, 0, 0, 0, from, this.length, to - from);
  }

  private layout(): void {
    const width = Math.min(this.plot.clientWidth || 300, LARGEST_PLOT + MARGIN.left + MARGIN.right);
    const size = Math.max(120, Math.floor(width - MARGIN.left - MARGIN.right));
    this.size = size;
    this.drawBase.ask();
  }

  private frame(canvas: HTMLCanvasElement): Frame {
    const context = sizeCanvas(canvas, this.size + MARGIN.left + MARGIN.right, this.size + MARGIN.top + MARGIN.bottom);
    return { context, theme: this.theme, sequence: this.sequence, sight: this.sight, size: this.size };
  }

  private paintBase(): void {
    const frame = this.frame(this.base);
    const { context, size, sight } = frame;
    this.plot.style.height = `${size + MARGIN.top + MARGIN.bottom}px`;
    this.el.classList.toggle("cj-zoomed", sight.span < this.length);
    context.fillStyle = this.theme.missing;
    context.fillRect(MARGIN.left, MARGIN.top, size, size);
    if (this.map) {
      const target = Math.round(size * (window.devicePixelRatio || 1));
      context.imageSmoothingEnabled = false;
      if (sight.span > target) this.drawPooled(frame, target);
      else context.drawImage(this.image, sight.x, sight.y, sight.span, sight.span, MARGIN.left, MARGIN.top, size, size);
    }
    drawMasked(frame, maskedResidues(this.mask, this.length));
    drawChains(frame);
    this.drawMarks(frame);
    drawAxes(frame);
    this.words();
    this.paintOverlay();
    // For whoever measures how long a drag takes to be seen.
    const shown = this.frames.frame;
    if (shown) this.el.dispatchEvent(new CustomEvent("catjac-frame", { bubbles: true, detail: { serial: shown.serial } }));
  }

  private drawPooled(frame: Frame, target: number): void {
    const { sight } = frame;
    const pooled = poolHighest(this.map!.values, this.length, sight.x, sight.y, sight.span, target);
    const pixels = new ImageData(target, target);
    // The pooled map has fewer cells, so the separation shrinks with it.
    const paint = { ...this.paint, chain: new Uint8Array(target), separation: (this.paint.separation * target) / sight.span };
    if (this.sequence.chains.length > 1 || sight.x !== sight.y) paint.separation = 0;
    paintRows(new Uint32Array(pixels.data.buffer), pooled, target, 0, target, paint);
    const small = document.createElement("canvas");
    small.width = small.height = target;
    small.getContext("2d")!.putImageData(pixels, 0, 0);
    frame.context.drawImage(small, MARGIN.left, MARGIN.top, frame.size, frame.size);
  }

  /** Native contacts below the diagonal, the highest pairs above it, and how many of them are native. */
  private drawMarks(frame: Frame): void {
    const { native, length } = this;
    const judged = native?.values;
    if (judged && this.model.get<boolean>("show_native")) {
      const rings: [number, number][] = [];
      for (let i = 0; i < length; i++) {
        for (let j = 0; j < i; j++) {
          const counts = this.chain[i] !== this.chain[j] || i - j >= this.state.get<number>("min_separation");
          if (judged[i * length + j] === 1 && counts) rings.push([i, j]);
        }
      }
      drawMarks(frame, rings, this.theme.ink, "ring");
    }
    const complete = this.quantity !== "norm" && this.map;
    this.controls.setMarks(Boolean(judged), Boolean(complete), null);
    if (!complete || !this.model.get<boolean>("show_top")) return;
    const resolved = judged ? this.resolved(judged) : length;
    this.top ??= topPairs(this.map!.values, length, this.chain, this.state.get<number>("min_separation"), resolved, (i, j) =>
      judged ? judged[i * length + j] !== 2 : true,
    );
    const hits = this.top.filter(([i, j]) => judged?.[i * length + j] === 1);
    drawMarks(frame, judged ? this.top.filter(([i, j]) => judged[i * length + j] !== 1) : this.top, judged ? this.theme.bad : this.theme.accent, "dot");
    if (judged) drawMarks(frame, hits, this.theme.good, "dot");
    this.controls.setMarks(Boolean(judged), true, judged ? hits.length / resolved : null);
  }

  /** How many residues the structure shows: those that can be judged against themselves. */
  private resolved(judged: ArrayLike<number>): number {
    let count = 0;
    for (let i = 0; i < this.length; i++) if (judged[i * this.length + i] !== 2) count++;
    return count;
  }

  private words(): void {
    this.title.textContent = this.label;
    this.caption.textContent = this.frames.frame?.caption ?? this.model.get<string>("caption");
    const { low, high } = this.limits;
    const marks = scaleTicks(low, high, 4).map((value) => ({ at: (value - low) / (high - low), text: tickText(value) }));
    const context = sizeCanvas(this.legend, LEGEND_WIDTH, 30);
    if (this.map) drawLegend(context, this.theme, this.colours.filter((_, k) => k % 15 === 0).map((colour) => cssColour(colour)), marks, LEGEND_WIDTH);
    this.legend.setAttribute("aria-label", `colour scale from ${number(low)} to ${number(high)}`);
  }

  private paintOverlay(): void {
    const frame = this.frame(this.overlay);
    const { selection, hover } = this;
    drawResidues(frame, readRuns(this.state.get("residues"), this.length));
    if (hover && !samePair(hover, selection)) drawPair(frame, hover, false);
    if (selection) drawPair(frame, selection, true);
    const shown = hover ?? selection;
    const parts = shown ? this.describe(shown) : [""];
    const rest = shown ? parts.slice(1).map((part) => ` · ${part}`).join("") : "Point at the map to read a pair; click to see how its residues depend on each other.";
    this.readout.replaceChildren(make("b", "", parts[0]), document.createTextNode(rest));
    this.readout.classList.toggle("cj-hint", !shown);
    const spoken = selection ? `selected ${this.describe(selection).join(", ")}` : "no pair selected";
    this.overlay.setAttribute("aria-label", `${this.label} of ${this.length} residues; ${spoken}. Arrow keys move the selection.`);
  }

  private describe(pair: Pair): string[] {
    const at = (pair[0] - 1) * this.length + pair[1] - 1;
    const parts = pairText(this.sequence, pair, this.quantity, this.map ? this.map.values[at]! : null);
    const masked = maskedResidues(this.mask, this.length);
    if (this.map && Number.isNaN(this.map.values[at]) && pair.some((position) => masked[position - 1])) parts[1] = "masked";
    const known = this.native?.values[at];
    if (known !== undefined && pair[0] !== pair[1]) parts.push(known === 1 ? "native contact" : known === 2 ? "not resolved" : "no native contact");
    return parts;
  }

  dispose(): void {
    this.hoverSave.stop();
    this.drawBase.stop();
    this.drawOverlay.stop();
    this.undo.run();
    this.el.replaceChildren();
  }
}

/** Rows go into the model's own buffer once, whether or not anybody looks. */
function initialize({ model }: { model: Model }): void {
  model.on("msg:custom", (message: RowsMessage, buffers: DataView[]) => {
    const values = model.get<ArrayPayload | null>("values");
    if (message.kind === "rows" && values && buffers[0]) patchRows(values, message.positions.map((position) => position - 1), buffers[0]);
  });
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new ContactMapView(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { initialize, render };
