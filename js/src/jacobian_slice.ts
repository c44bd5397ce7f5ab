// The block of the selected pair: what putting each letter at i does to each logit at j.

import { decode, type ArrayPayload } from "./arrays";
import { blockLayout, displayOrder, drawBlock, largestMagnitude, rearrange, type BlockLayout, type BlockPicture } from "./block_drawing";
import { drawLegend, onceAFrame, readTheme, sizeCanvas, watchTheme, type Theme } from "./canvas";
import { cssColour, diverging, type Triple } from "./colour";
import { scaleTicks } from "./geometry";
import { brushOf, meanOf } from "./slice_mean";
import { blockText } from "./map_brush";
import { NAMING, sequenceOf, sharedState, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "./model";
import { readPair, samePair } from "./selection";
import { make, mutationText, residueLabel, signed, tickText } from "./text";

/** One block as the kernel tells it, by trait or by message. */
interface Block {
  pair: Pair;
  /** "ready", "waiting" (the row is not computed yet), "masked" or "error". */
  status: string;
  note: string;
  letters_in: string[];
  letters_out: string[];
  values: ArrayPayload | null;
}

interface BlockReply extends Omit<Block, "values"> {
  kind: "block";
  id: number;
  shape: number[] | null;
}

const LARGEST = 400;
const LEGEND_WIDTH = 150;
const REMEMBERED = 200;

class JacobianSliceView {
  private readonly undo = new Undo();
  private readonly canvas = make("canvas", "cj-block", "", { role: "img" });
  private readonly title = make("div", "cj-title");
  private readonly caption = make("div", "cj-caption", "change of the logits, mutant − wild type");
  private readonly swap = make("button", "cj-button", "⇄", { type: "button", title: "The other direction: swap the two residues", "aria-label": "swap the two residues" });
  private readonly legend = make("canvas", "cj-legend", "", { role: "img" });
  private readonly plot = make("div", "cj-plot cj-blockplot");
  private readonly note = make("div", "cj-note", "", { role: "status" });
  private readonly readout = make("div", "cj-readout");
  private readonly draw = onceAFrame(() => this.paint());
  private readonly known = new Map<string, Block>();
  private asked = 0;
  private theme!: Theme;
  private colours: Triple[] = [];
  private shown: { picture: BlockPicture; layout: BlockLayout; limit: number } | null = null;
  private pointed: [number, number] | null = null;
  private waiting: Block | null = null;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-slice");
    const head = make("div", "cj-head");
    const titles = make("div", "cj-titles");
    const line = make("div", "cj-titleline");
    line.append(this.title, this.swap);
    titles.append(line, this.caption);
    head.append(titles, this.legend);
    this.plot.append(this.canvas, this.note);
    el.replaceChildren(head, this.plot, this.readout);
    this.readTheme();
    this.listen();
    this.take(model.get<Block | null>("block"));
    this.ask();
  }

  private get sequence(): SequenceInfo {
    return sequenceOf(this.state);
  }

  private get pair(): Pair | null {
    return readPair(this.state.get("selection"), this.sequence.residues.length);
  }

  private listen(): void {
    const { undo, model, state } = this;
    undo.on(state, ["change:selection", ...NAMING], () => this.ask());
    undo.on(state, ["change:brush"], () => this.draw.ask());
    undo.on(model, ["change:mean"], () => this.draw.ask());
    undo.on(model, ["change:block"], () => this.take(model.get<Block | null>("block")));
    undo.on(model, ["change:letter_order"], () => this.draw.ask());
    undo.on(model, ["msg:custom"], (reply: BlockReply, buffers: DataView[]) => {
      if (reply.kind !== "block" || reply.id !== this.asked) return;
      const values = reply.shape && buffers[0] ? ({ dtype: "float32", shape: reply.shape, data: buffers[0] } as const) : null;
      this.take({ ...reply, values });
    });
    undo.add(
      watchTheme(() => {
        this.readTheme();
        this.draw.ask();
      }),
    );
    const observer = new ResizeObserver(() => this.draw.ask());
    observer.observe(this.plot);
    undo.add(() => observer.disconnect());
    undo.listen(this.swap, "click", () => {
      if (!this.pair) return;
      state.set("selection", [this.pair[1], this.pair[0]]);
      state.save_changes();
    });
    undo.listen(this.canvas, "pointermove", (event) => this.point(event));
    undo.listen(this.canvas, "pointerleave", () => this.point(null));
  }

  private readTheme(): void {
    this.theme = readTheme(this.el);
    this.colours = diverging(this.theme.surface, this.theme.dark);
  }

  /** Ask the kernel for the selected pair's block, unless it is here. */
  private ask(): void {
    const { pair } = this;
    this.pointed = null;
    this.waiting = null;
    if (pair && !this.known.has(String(pair))) this.model.send({ kind: "block", id: ++this.asked, pos_in: pair[0], pos_out: pair[1] });
    this.draw.ask();
  }

  private take(block: Block | null): void {
    if (!block) return;
    if (block.status === "ready" && block.values) {
      this.known.set(String(block.pair), block);
      const oldest = this.known.keys().next().value;
      if (this.known.size > REMEMBERED && oldest !== undefined) this.known.delete(oldest);
    } else if (samePair(block.pair, this.pair)) this.waiting = block;
    this.draw.ask();
  }

  private picture(block: Block): BlockPicture {
    const order = this.model.get<string>("letter_order");
    const [rows, columns] = [displayOrder(block.letters_in, order), displayOrder(block.letters_out, order)];
    const [i, j] = block.pair;
    const { sequence } = this;
    return {
      rows: rows.map((row) => block.letters_in[row]!),
      columns: columns.map((column) => block.letters_out[column]!),
      values: rearrange(decode(block.values)!.values, rows, columns),
      wildTypeRow: sequence.residues[i - 1] ?? "",
      wildTypeColumn: sequence.residues[j - 1] ?? "",
      rowTitle: `put in place of ${residueLabel(sequence, i)}`,
      columnTitle: `logit at ${residueLabel(sequence, j)}`,
    };
  }

  private paint(): void {
    const { pair, sequence } = this;
    const brush = brushOf(this.state);
    const mean = brush && meanOf(this.model, brush);
    const block = brush ? (mean?.values ? { ...mean, pair: [brush[0][0], brush[1][0]] as Pair } : null) : pair && this.known.get(String(pair));
    this.title.textContent = brush ? blockText(sequence, brush) : pair ? `${residueLabel(sequence, pair[0])} → ${residueLabel(sequence, pair[1])}` : "No pair selected";
    this.caption.hidden = !pair && !brush;
    this.caption.textContent = `change of the logits, mutant − wild type${mean?.words ? `; ${mean.words}` : ""}`;
    this.swap.hidden = Boolean(brush) || !pair || pair[0] === pair[1];
    this.el.classList.toggle("cj-empty", !block);
    this.note.textContent = block ? "" : brush ? (mean?.note ?? this.silence()) : this.absence(pair);
    this.shown = null;
    if (block) {
      const picture = { ...this.picture(block), ...(brush && { wildTypeRow: "", wildTypeColumn: "", rowTitle: "put in place of a row's residue", columnTitle: "logit at a column's residue" }) };
      const layout = blockLayout(Math.min(this.plot.clientWidth || 320, LARGEST), picture.rows.length, picture.columns.length);
      this.shown = { picture, layout, limit: largestMagnitude(picture.values) };
      drawBlock(this.canvas, layout, picture, this.theme, this.colours, this.shown.limit, this.pointed);
      this.paintLegend(this.shown.limit);
    } else sizeCanvas(this.legend, LEGEND_WIDTH, 30);
    this.words();
  }

  private absence(pair: Pair | null): string {
    if (!pair) return "Click a pair on the map to see how its residues depend on each other, letter by letter.";
    if (this.waiting) return this.waiting.note;
    return this.silence();
  }

  /** In a page without a kernel there is nobody to ask. */
  private silence(): string {
    return this.state.comm_live === false ? "This block was not saved with the page; run the notebook to see it." : "Asking for this block…";
  }

  private paintLegend(limit: number): void {
    const context = sizeCanvas(this.legend, LEGEND_WIDTH, 30);
    const marks = scaleTicks(-limit, limit, 4).map((value) => ({ at: (value + limit) / (2 * limit), text: tickText(value) }));
    drawLegend(context, this.theme, this.colours.filter((_, k) => k % 14 === 0 || k === 127).map((colour) => cssColour(colour)), marks, LEGEND_WIDTH);
    this.legend.setAttribute("aria-label", `colour scale from ${tickText(-limit)} to ${tickText(limit)}`);
  }

  /** The mutation under the pointer, or the strongest of the block. */
  private words(): void {
    this.readout.textContent = "";
    const brush = brushOf(this.state);
    if (!this.shown || (!this.pair && !brush)) return;
    const { values, columns } = this.shown.picture;
    const { pointed, pair } = this;
    let at = pointed ? pointed[0] * columns.length + pointed[1] : 0;
    if (!pointed) values.forEach((value, k) => (at = Math.abs(value) > Math.abs(values[at]!) ? k : at));
    const { rows } = this.shown.picture;
    const text = brush || !pair ? `${rows[Math.floor(at / columns.length)]!} → logit of ${columns[at % columns.length]!}: mean ${signed(values[at]!)}` : this.sentence(pair, at);
    this.readout.textContent = pointed ? text : `strongest: ${text}`;
    this.canvas.setAttribute("aria-label", `block of ${this.title.textContent ?? ""}; ${this.readout.textContent}`);
  }

  private sentence(pair: Pair, at: number): string {
    const { rows, columns, values } = this.shown!.picture;
    return mutationText(this.sequence, pair, rows[Math.floor(at / columns.length)]!, columns[at % columns.length]!, values[at]!);
  }

  private point(event: PointerEvent | null): void {
    if (!this.shown) return;
    let pointed: [number, number] | null = null;
    if (event) {
      const { layout, picture } = this.shown;
      const box = this.canvas.getBoundingClientRect();
      const row = Math.floor((event.clientY - box.top - layout.top) / layout.cell);
      const column = Math.floor((event.clientX - box.left - layout.left) / layout.cell);
      if (row >= 0 && row < picture.rows.length && column >= 0 && column < picture.columns.length) pointed = [row, column];
    }
    if (String(pointed) !== String(this.pointed)) {
      this.pointed = pointed;
      this.draw.ask();
    }
  }

  dispose(): void {
    this.draw.stop();
    this.undo.run();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new JacobianSliceView(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
