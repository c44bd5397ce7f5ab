// The contact map: an L × L picture that fills while the kernel computes, and answers the pointer without it.

import { decode, patchRows, type ArrayPayload, type LabelledArray } from "../shared/arrays";
import { blockResidues, blockText, growBlock, readBrush, type Brush } from "../shared/brush";
import { onceAFrame, readTheme, sizeCanvas, watchTheme, type Theme } from "../shared/canvas";
import { sequential, type Triple } from "../shared/colour";
import { chainIndex, clampSight, maskedResidues, reveal, whole, zoomAt, type Sight } from "../shared/geometry";
import { NAMING, sequenceOf, sharedState, throttledSave, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "../shared/model";
import { choosePair, movePair, readPair, readRuns, samePair } from "../shared/selection";
import { make } from "../shared/text";
import { ContactHeadFrames, type FrameMessage } from "./contact_head_frames";
import { Contacts, isRanked, type Ground } from "./contacts";
import { controls, type Controls } from "./controls";
import { drawAxes, drawBlock, drawChains, drawDiagonal, drawMarks, drawMasked, drawPair, drawResidues, MARGIN, type Frame } from "./drawing";
import { MapHeader, type Words } from "./header";
import { LAYER_EVENTS, LIVE, readLayer, readShown, type Layer } from "./layers";
import { MapPicture } from "./picture";
import { listenToPointer } from "./pointer";
import { blockParts, pairParts } from "./readout";

/** What the kernel sends while rows come in. */
interface RowsMessage {
  kind: "rows";
  /** 1-based rows, in the order in which the buffer holds them. */
  positions: number[];
}

const LARGEST_PLOT = 560;
const HOVER_WAIT = 100;
const DRAGGED_LABEL = "contact head, under the dragged mask";
const HINT = "Click a pair, drag a block; shift-drag zooms, double click shows all";

class ContactMapView {
  private readonly undo = new Undo();
  private readonly base = make("canvas", "cj-layer");
  private readonly overlay: HTMLCanvasElement;
  private readonly headers = [new MapHeader(), new MapHeader()] as const;
  private readonly plot = make("div", "cj-plot");
  private readonly readout = make("div", "cj-readout");
  private readonly controls: Controls;
  private readonly hoverSave: ReturnType<typeof throttledSave>;
  private readonly drawBase = onceAFrame(() => this.paintBase());
  private readonly drawOverlay = onceAFrame(() => this.paintOverlay());
  private readonly picture = new MapPicture();
  private readonly contacts = new Contacts();
  private readonly frames: ContactHeadFrames;
  private theme!: Theme;
  private colours: Triple[] = [];
  private sequence!: SequenceInfo;
  private chain: Uint8Array = new Uint8Array(0);
  /** What lies above and below the diagonal; one object where they show the same. */
  private layers: [Layer | null, Layer | null] = [null, null];
  private native: LabelledArray | null = null;
  private sight: Sight = whole(1);
  private size = 300;
  private dragged: { brush: Brush; zoom: boolean } | null = null;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    this.overlay = make("canvas", "cj-layer cj-touch", "", { tabindex: "0", role: "application", "aria-roledescription": "contact map" });
    this.controls = controls(state, model, this.undo, (factor) => this.zoom(factor));
    this.hoverSave = throttledSave(state, HOVER_WAIT);
    this.frames = new ContactHeadFrames(state, () => this.length);
    el.classList.add("catjac", "cj-map");
    this.plot.append(this.base, this.overlay);
    el.replaceChildren(...this.headers.map((header) => header.element), this.plot, this.readout, this.controls.element);
    this.readSequence();
    this.readTheme();
    this.readArrays();
    this.listen();
  }

  private get length(): number {
    return this.sequence.residues.length;
  }

  private get separation(): number {
    return this.state.get<number>("min_separation");
  }

  private get selection(): Pair | null {
    return readPair(this.state.get("selection"), this.length);
  }

  private get hover(): Pair | null {
    return readPair(this.state.get("hover"), this.length);
  }

  private get brush(): Brush | null {
    return readBrush(this.state.get("brush"), this.length);
  }

  /** Visible fragments, as they are dragged now or as the mask has them. */
  private get mask(): [number, number][] | null {
    return this.state.get<[number, number][] | null>("mask_preview") ?? this.state.get<[number, number][] | null>("mask");
  }

  private get split(): boolean {
    return this.layers[0] !== this.layers[1];
  }

  private listen(): void {
    const { undo, model, state } = this;
    undo.on(model, ["change:values"], () => this.frames.replaced());
    undo.on(model, LAYER_EVENTS, () => this.refresh(() => this.readArrays()));
    undo.on(model, ["change:quantity"], () => this.refresh(() => this.readArrays()));
    undo.on(model, ["change:label", "change:caption", "change:units"], () => this.refresh(() => this.readWords()));
    undo.on(model, ["change:native"], () => this.contacts.forget());
    undo.on(model, ["change:show_native", "change:show_top"], () => this.refresh());
    undo.on(model, ["msg:custom"], (message: RowsMessage | FrameMessage, buffers: DataView[]) => {
      if (message.kind === "rows") this.refresh(() => this.readRows(message.positions.map((position) => position - 1)));
      else if (message.kind === "frame" && this.frames.take(message, buffers[0])) this.refresh(() => this.readArrays());
    });
    undo.on(state, ["change:mask_preview"], () => this.refresh(() => this.frames.follow() && this.readArrays()));
    undo.on(state, NAMING, () => this.refresh(() => this.readSequence()));
    undo.on(state, ["change:selection", "change:hover", "change:residues", "change:brush"], () => this.drawOverlay.ask());
    undo.on(state, ["change:maps_shown"], () => this.refresh(() => this.readArrays()));
    undo.on(state, ["change:min_separation"], () => this.contacts.forget());
    undo.on(state, ["change:min_separation", "change:colour_percentile", "change:mask"], () => this.refresh(() => this.rescale()));
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
      look: (sight) => this.look(sight),
      hover: (pair) => this.setHover(pair),
      select: (pair) => choosePair(this.state, pair),
      drag: (brush, zoom) => {
        this.dragged = brush && { brush, zoom };
        this.drawOverlay.ask();
      },
      brush: (brush) => this.setBrush(brush),
    });
    undo.listen(this.overlay, "keydown", (event) => this.key(event));
    undo.listen(this.overlay, "focus", () => this.drawOverlay.ask());
  }

  private key(event: KeyboardEvent): void {
    const { selection, brush } = this;
    const grown = event.altKey ? growBlock(brush, selection, event.key, event.shiftKey, this.length) : null;
    const moved = event.altKey ? null : movePair(selection, event.key, event.shiftKey, this.length);
    if (grown) this.setBrush(grown);
    else if (moved) {
      choosePair(this.state, moved);
      this.look(reveal(this.sight, this.length, moved[1] - 1, moved[0] - 1));
    } else if (event.key === "Escape") brush ? this.setBrush(null) : choosePair(this.state, null);
    else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.zoom(0);
    else return;
    // Jupyter listens to the same keys.
    event.preventDefault();
    event.stopPropagation();
  }

  private setHover(pair: Pair | null): void {
    if (!samePair(pair, this.hover)) this.hoverSave.set("hover", pair);
  }

  /** Choose a block of pairs, and its residues in every view; none lets both go. */
  private setBrush(brush: Brush | null): void {
    this.state.set("brush", brush);
    this.state.set("residues", brush ? blockResidues(brush) : []);
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

  private get ground(): Ground {
    return { native: this.native?.values ?? null, length: this.length, chain: this.chain, separation: this.separation };
  }

  private describeBlock(brush: Brush): string[] {
    return [blockText(this.sequence, brush), ...blockParts(this.ground, this.layers, brush)];
  }

  private readSequence(): void {
    const before = this.sequence?.residues;
    this.sequence = sequenceOf(this.state);
    if (before === this.sequence.residues) return; // called otherwise, no more
    this.chain = chainIndex(this.sequence);
    this.sight = whole(this.length);
    this.controls.setLength(this.length);
  }

  private readTheme(): void {
    this.theme = readTheme(this.el);
    this.colours = sequential(this.state.get<string>("colour_map"), this.theme.surface, this.theme.dark);
    this.picture.setColours(this.colours, this.theme);
  }

  private readArrays(): void {
    const native = decode(this.model.get<ArrayPayload | null>("native"));
    this.native = native?.shape[0] === this.length ? native : null;
    const names = readShown(this.state.get("maps_shown"));
    const upper = this.readLayer(names[0]);
    const lower = names[0] === names[1] ? upper : this.readLayer(names[1]);
    // A frame stands for whatever is computed now, so it may lie in both triangles.
    const same = upper && lower && upper.values === lower.values;
    this.layers = same ? [upper, upper] : [upper, lower];
    this.picture.setLayers(...this.layers, this.length, this.chain);
    this.rescale();
  }

  /** What is computed now is called otherwise, for instance by how much of it is there. */
  private readWords(): void {
    const { model } = this;
    const live = this.layers.find((layer) => layer?.name === LIVE);
    if (live && !this.frames.frame) Object.assign(live, { label: model.get("label"), caption: model.get("caption"), units: model.get("units") });
  }

  private readLayer(name: string): Layer | null {
    const { frame } = this.frames;
    if (frame && (name === LIVE || name === "head")) {
      return { ...frame, name, label: this.dragLabel ?? frame.label, units: "", values: frame.map, underMask: true };
    }
    return readLayer(this.model, name, this.length) ?? (name === LIVE ? null : readLayer(this.model, LIVE, this.length));
  }

  private get dragLabel(): string | null {
    return this.frames.frame && this.state.get("mask_preview") ? DRAGGED_LABEL : null;
  }

  private readRows(rows: number[]): void {
    const live = this.layers.find((layer) => layer?.name === LIVE);
    if (this.frames.frame || !live) return;
    const values = decode(this.model.get<ArrayPayload | null>("values"));
    if (values) live.values = values;
    this.contacts.forgetRanking(live);
    if (!this.picture.rescale(this.separation, this.state.get<number>("colour_percentile"), true)) for (const row of rows) this.picture.shade(row, row + 1);
  }

  private rescale(): void {
    this.picture.rescale(this.separation, this.state.get<number>("colour_percentile"));
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
    this.picture.draw(context, sight, MARGIN.left, MARGIN.top, size);
    const masked = maskedResidues(this.mask, this.length);
    for (const { layer, side } of this.picture.placed) if (layer.underMask) drawMasked(frame, masked, side);
    if (this.split) drawDiagonal(frame);
    drawChains(frame);
    this.drawMarks(frame);
    drawAxes(frame);
    this.words();
    this.paintOverlay();
    // For whoever measures how long a drag takes to be seen.
    const shown = this.frames.frame;
    if (shown) this.el.dispatchEvent(new CustomEvent("catjac-frame", { bubbles: true, detail: { serial: shown.serial } }));
  }

  /** Native contacts as rings, the highest pairs as dots: of one map below and above the diagonal, of two in both. */
  private drawMarks(frame: Frame): void {
    const native = this.native?.values ?? null;
    const ranked = this.picture.placed.filter(({ layer }) => isRanked(layer));
    this.controls.setMarks(Boolean(native), ranked.length > 0);
    if (native && this.model.get<boolean>("show_native")) {
      const rings = this.contacts.rings(this.ground);
      const sides = this.split ? this.picture.placed.filter(({ layer }) => layer.name !== "native").map(({ side }) => side) : ["lower"];
      if (sides.includes("lower")) drawMarks(frame, rings, this.theme.ink, "ring");
      if (sides.includes("upper")) drawMarks(frame, rings.map(([i, j]): [number, number] => [j, i]), this.theme.ink, "ring");
    }
    if (!this.model.get<boolean>("show_top")) return;
    for (const { layer, side } of ranked) {
      const turn = (cells: [number, number][]): [number, number][] => (side === "lower" ? cells.map(([i, j]) => [j, i]) : cells);
      const { top } = this.contacts.ranking(layer, this.ground);
      const hit = ([i, j]: [number, number]): boolean => native?.[i * this.length + j] === 1;
      drawMarks(frame, turn(top.filter((cell) => !hit(cell))), native ? this.theme.bad : this.theme.accent, "dot");
      if (native) drawMarks(frame, turn(top.filter(hit)), this.theme.good, "dot");
    }
  }

  private words(): void {
    const lines = this.picture.placed.map(({ layer, side, limits }): Words => {
      const label = layer.underMask ? (this.dragLabel ?? layer.label) : layer.label;
      return { side, label, caption: this.caption(layer), quantity: layer.quantity, units: layer.units, limits };
    });
    if (!lines.length) lines.push({ side: "both", label: this.model.get<string>("label"), caption: this.model.get<string>("caption"), quantity: "", units: "", limits: null });
    this.headers.forEach((header, k) => header.show(lines[k] ?? null, this.theme, this.colours));
  }

  /** What a map is and, while its highest pairs are marked, how many of them are contacts. */
  private caption(layer: Layer): string {
    if (!this.model.get<boolean>("show_top") || !isRanked(layer)) return layer.caption;
    const { precision, chance } = this.contacts.ranking(layer, this.ground);
    if (precision === null) return layer.caption;
    return `precision@L ${precision.toFixed(2)} at |i\u2212j| ≥ ${this.separation}${chance === null ? "" : ` (chance ${chance.toFixed(chance < 0.1 ? 3 : 2)})`}`;
  }

  private paintOverlay(): void {
    const frame = this.frame(this.overlay);
    const { selection, hover, brush, dragged } = this;
    const residues = readRuns(this.state.get("residues"), this.length);
    const shownBlock = dragged && !dragged.zoom ? dragged.brush : brush;
    // The block's own residues are plain to see; bands all across the map would only hide it.
    if (!shownBlock || String(residues) !== String(blockResidues(shownBlock))) drawResidues(frame, dragged ? [] : residues);
    if (shownBlock) drawBlock(frame, shownBlock, false);
    if (dragged?.zoom) drawBlock(frame, dragged.brush, true);
    if (hover && !samePair(hover, selection)) drawPair(frame, hover, false);
    if (selection && !shownBlock) drawPair(frame, selection, true);
    this.readOut(dragged?.zoom ? null : hover, shownBlock);
    const spoken = brush ? `brushed ${this.describeBlock(brush).join(", ")}` : selection ? `selected ${pairParts(this.ground, this.sequence, this.layers, this.mask, selection, true).join(", ")}` : "no pair selected";
    const label = [...new Set(this.picture.placed.map(({ layer }) => layer.label))].join(" and ") || this.model.get<string>("label");
    this.overlay.setAttribute("aria-label", `${label} of ${this.length} residues; ${spoken}. Arrow keys move the selection, with alt they brush a block; plus, minus and 0 zoom.`);
  }

  /** What is pointed at, else the block, else the selected pair, else what one can do here. */
  private readOut(hover: Pair | null, block: Brush | null): void {
    const pair = hover ?? this.selection;
    const parts = this.dragged && block ? this.describeBlock(block) : hover || (pair && !block) ? pairParts(this.ground, this.sequence, this.layers, this.mask, pair!) : block ? this.describeBlock(block) : null;
    const rest = parts ? parts.slice(1).map((part) => ` · ${part}`).join("") : HINT;
    this.readout.replaceChildren(make("b", "", parts?.[0] ?? ""), document.createTextNode(rest));
    this.readout.classList.toggle("cj-hint", !parts);
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
