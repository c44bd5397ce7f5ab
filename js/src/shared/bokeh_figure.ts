// A bokeh figure in a view: its script, its figure, the page's colours on it. What it shows is the view's to say.

import { bytesOf } from "./arrays";
import { readTheme, watchTheme, type Theme } from "./canvas";
import { cssColour } from "./colour";
import { ticks, whole } from "./geometry";
import { isLive, Undo, type Model, type SequenceInfo } from "./model";

/** As much of bokeh's objects as is used here. */
export interface BokehModel {
  name: string | null;
  type: string;
  document: { event_manager: { subscribed_models: Set<BokehModel> } };
  references(): Iterable<BokehModel>;
  setv(values: Record<string, unknown>): void;
  on_event(name: string, callback: (event: BokehEvent) => void): void;
  [property: string]: unknown;
}

export interface BokehEvent {
  x: number;
  y: number;
  sx: number;
  sy: number;
  modifiers?: { shift: boolean };
}

interface Scale {
  compute(value: number): number;
  invert(pixel: number): number;
}

interface Figureview {
  model: BokehModel;
  el: HTMLElement;
  frame: { x_scale: Scale; y_scale: Scale };
  remove?(): void;
}

type Views = { roots?: Figureview[] } & Iterable<Figureview>;

interface Bokeh {
  embed: { embed_item(item: unknown, target: HTMLElement): Promise<Views> };
}

const page = window as unknown as { Bokeh?: Bokeh; catjacBokeh?: Promise<Bokeh | null> | undefined };

/** How long the script in the cell's output may take before the kernel is asked for it, or, without one, given up. */
const GRACE = 600;
const SAVED_GRACE = 10_000;
const PATIENCE = 20_000;

async function bokehOf(model: Model, undo: Undo): Promise<Bokeh | null> {
  const grace = isLive(model) ? GRACE : SAVED_GRACE;
  for (let waited = 0; !page.Bokeh && !undo.done && waited < grace; waited += 50) await new Promise((resolve) => setTimeout(resolve, 50));
  if (page.Bokeh) return page.Bokeh;
  if (undo.done || !isLive(model)) return null;
  page.catjacBokeh ??= new Promise((resolve) => {
    const timer = setTimeout(() => {
      page.catjacBokeh = undefined;
      resolve(null);
    }, PATIENCE);
    const come = (message: { kind?: string }, buffers: (DataView | ArrayBuffer)[]): void => {
      if (message.kind !== "bokeh" || !buffers[0]) return;
      model.off("msg:custom", come as never);
      clearTimeout(timer);
      const script = document.createElement("script");
      script.textContent = new TextDecoder().decode(bytesOf(buffers[0]));
      document.head.append(script);
      resolve(page.Bokeh ?? null);
    };
    model.on("msg:custom", come as never);
    model.send({ kind: "bokeh" });
  });
  return page.catjacBokeh;
}

/** Pixels that a press may move and still be a click, as bokeh counts them. */
const CLICK_ROOM = 5;

/** About how many residue numbers stand along an axis. */
const LABELS = 10;

export class Plot {
  private readonly byName = new Map<string, BokehModel>();
  theme!: Theme;

  constructor(
    private readonly el: HTMLElement,
    private readonly view: Figureview,
    private readonly undo: Undo,
    private readonly themed: (theme: Theme) => void,
  ) {
    for (const model of this.figure.references()) if (model.name) this.byName.set(model.name, model);
    // A figure that was clicked is not framed for that; with the keyboard it is not reached.
    const canvas = view.el.shadowRoot?.querySelector(".bk-Canvas")?.shadowRoot;
    canvas?.querySelector<HTMLElement>(".bk-events")?.style.setProperty("outline", "none");
    this.readTheme();
    undo.add(watchTheme(() => this.readTheme()));
    undo.add(() => view.remove?.());
  }

  get figure(): BokehModel {
    return this.view.model;
  }

  named(name: string): BokehModel {
    const model = this.byName.get(name);
    if (!model) throw new Error(`the figure has no ${name}`);
    return model;
  }

  /** Replace the columns of a source. */
  fill(source: string, columns: Record<string, unknown[]>): void {
    this.named(source).setv({ data: columns });
  }

  /** Name the residues along x, at about `LABELS` round numbers of those that `sequence` bears. */
  numberResidues(sequence: SequenceInfo): void {
    const { length } = sequence.residues;
    const round = ticks(sequence, 0, whole(length), LABELS * 1.2, 1);
    const shown = round.length ? round : [{ index: 0, text: sequence.numbers[0] ?? "1" }];
    // The labels before their places, so that no place is ever without its label.
    this.named("residue axis").setv({ major_label_overrides: new Map(shown.map(({ index, text }) => [index + 1, text])) });
    this.named("residue ticks").setv({ ticks: shown.map(({ index }) => index + 1) });
  }

  /** Colour a renderer's glyph. */
  paint(renderer: string, values: Record<string, unknown>): void {
    (this.named(renderer).glyph as BokehModel).setv(values);
  }

  on(name: string, callback: (event: BokehEvent) => void): void {
    this.figure.on_event(name, callback);
    this.figure.document.event_manager.subscribed_models.add(this.figure);
  }

  /**
   * Follow drags across the figure: `follow` is told x where one began and where it is, whether it was let go, and null
   * where it was given up. Bokeh's own drags do not begin once a press has rested a moment, as a slow hand's does.
   */
  onDrag(follow: (ends: [number, number] | null, final: boolean) => void): void {
    const { view, undo } = this;
    const xOf = (event: PointerEvent): number => this.view.frame.x_scale.invert(event.clientX - view.el.getBoundingClientRect().left);
    let from: { pixel: number; x: number } | null = null;
    let moved = false;
    undo.listen(view.el, "pointerdown", (event) => {
      if (event.button === 0 && event.isPrimary) [from, moved] = [{ pixel: event.clientX, x: xOf(event) }, false];
    });
    undo.listen(view.el, "pointermove", (event) => {
      if (!from || !event.isPrimary) return;
      moved ||= Math.abs(event.clientX - from.pixel) > CLICK_ROOM;
      if (moved) follow([from.x, xOf(event)], false);
    });
    undo.listen(view.el, "pointerup", (event) => {
      if (from && moved && event.isPrimary) follow([from.x, xOf(event)], true);
      from = null;
    });
    undo.listen(view.el, "pointercancel", () => {
      if (from && moved) follow(null, false);
      from = null;
    });
  }

  /** Where a point of the figure is, in the pixels in which events tell it. */
  place(x: number, y: number): [number, number] {
    return [this.view.frame.x_scale.compute(x), this.view.frame.y_scale.compute(y)];
  }

  private readTheme(): void {
    this.theme = readTheme(this.el);
    const { ink, soft, line, surface, font } = this.theme;
    const ground = cssColour(surface);
    this.figure.setv({ background_fill_color: ground, border_fill_color: ground, outline_line_color: null });
    for (const model of this.figure.references()) {
      if (model.type === "LinearAxis") {
        model.setv({
          axis_line_color: line,
          major_tick_line_color: line,
          major_label_text_color: soft,
          axis_label_text_color: ink,
          major_label_text_font: font,
          axis_label_text_font: font,
          major_label_text_font_size: "11px",
          axis_label_text_font_size: "12px",
          axis_label_text_font_style: "normal",
        });
      } else if (model.type === "Legend") {
        // Bokeh may lay the frame out under the legend when that changes: no ground, so that points stay in sight.
        model.setv({ background_fill_color: null, label_text_color: soft });
      } else if (model.type === "Grid") model.setv({ grid_line_color: line });
    }
    this.themed(this.theme);
  }
}

/** Wait until an element is on the page, and has room there, or until its view goes away. */
function onPage(element: HTMLElement, undo: Undo): Promise<void> {
  if (element.isConnected || undo.done) return Promise.resolve();
  return new Promise((resolve) => {
    const watcher = new ResizeObserver(() => {
      if (element.isConnected) stop();
    });
    const stop = (): void => {
      watcher.disconnect();
      resolve();
    };
    watcher.observe(element);
    undo.add(stop);
  });
}

/** Draw the model's figure in `plot` once it is on the page; null where the view went away before. */
async function drawn(bokeh: Bokeh, model: Model, plot: HTMLElement, undo: Undo): Promise<Views | null> {
  for (;;) {
    await onPage(plot, undo);
    if (undo.done) return null;
    try {
      // Each showing needs objects of its own.
      return await bokeh.embed.embed_item(JSON.parse(model.get<string>("item")), plot);
    } catch (error) {
      // Bokeh waits before it draws, and refuses a place that was taken off the page meanwhile.
      if (plot.isConnected && !undo.done) throw error;
    }
  }
}

/** Put the model's figure into `plot`; a sentence where that cannot be, null where the view went away before. */
export async function embed(
  model: Model,
  el: HTMLElement,
  plot: HTMLElement,
  undo: Undo,
  themed: (theme: Theme) => void,
): Promise<Plot | string | null> {
  const problem = model.get<string>("problem");
  if (problem) return problem;
  const bokeh = await bokehOf(model, undo);
  if (undo.done) return null;
  if (!bokeh) return "This panel is drawn by bokeh, whose script this page does not hold; run the cell again.";
  const views = await drawn(bokeh, model, plot, undo);
  if (!views) return null;
  const view = views.roots?.[0] ?? [...views][0];
  if (!view) return "Bokeh could not draw this panel; run the cell again.";
  if (undo.done) {
    view.remove?.();
    return null;
  }
  return new Plot(el, view, undo, themed);
}
