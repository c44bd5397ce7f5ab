// A slice of the Jacobian: the block of the selected pair, or what one substitution does along the chain.

import { decode } from "../shared/arrays";
import { blockText, type Brush } from "../shared/brush";
import { onceAFrame, readTheme, watchTheme, type Theme } from "../shared/canvas";
import { diverging, type Triple } from "../shared/colour";
import { maskedResidues } from "../shared/geometry";
import { NAMING, sequenceOf, sharedState, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "../shared/model";
import { choosePair, readPair } from "../shared/selection";
import { residueLabel } from "../shared/text";
import { blockLayout, drawBlock, type BlockLayout, type BlockPicture } from "./block_drawing";
import { chainLayout, ChainPainter, type ChainLayout } from "./chain_drawing";
import { ChainPointer } from "./chain_pointer";
import { SliceControls } from "./controls";
import { SliceFrame } from "./elements";
import { brushOf, meanOf, type MeanPart } from "./mean_block";
import { meanLine, pythonLine } from "./python_line";
import { SliceSource, type Wanted } from "./source";
import { captionText, cellText, meanText, mutant } from "./text";
import {
  blockNumbers,
  chainLimit,
  chainNumbers,
  displayOrder,
  largestMagnitude,
  letterPut,
  refusal,
  strongest,
  MASK,
  type BlockPart,
  type ChainNumbers,
  type Choice,
  type Form,
  type Quantity,
  type RowPart,
} from "./values";

/** What is drawn: a block, or a substitution along the chain. */
type Shown =
  | { form: "block"; picture: BlockPicture; layout: BlockLayout; limit: number }
  | ({ form: "profile" | "matrix"; layout: ChainLayout; limit: number } & ChainNumbers);

const LARGEST = 400;

class JacobianSliceView {
  private readonly undo = new Undo();
  private readonly frame: SliceFrame;
  private readonly draw = onceAFrame(() => this.paint());
  private readonly controls: SliceControls;
  private readonly source: SliceSource;
  private readonly pointer: ChainPointer;
  private readonly painter = new ChainPainter();
  private theme!: Theme;
  private colours: Triple[] = [];
  private shown: Shown | null = null;
  private worked: { part: RowPart; key: string; numbers: ChainNumbers & { limit: number } } | null = null;
  /** Row and column of the block under the pointer. */
  private pointed: [number, number] | null = null;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    this.controls = new SliceControls(model, this.undo);
    this.frame = new SliceFrame(el, this.controls);
    this.source = new SliceSource(model, () => this.draw.ask());
    this.pointer = new ChainPointer(state, this.frame.chain, () => (this.shown?.form === "block" ? null : (this.shown?.layout ?? null)), () => this.draw.ask());
    this.readTheme();
    this.listen();
    this.ask();
  }

  private get sequence(): SequenceInfo {
    return sequenceOf(this.state);
  }

  private get length(): number {
    return this.state.get<SequenceInfo>("sequence").residues.length;
  }

  private get pair(): Pair | null {
    return readPair(this.state.get("selection"), this.length);
  }

  private get form(): Form {
    return this.model.get<Form>("form");
  }

  private get quantity(): Quantity {
    return this.model.get<string>("kind") ? "raw" : this.model.get<Quantity>("quantity");
  }

  private get letterIn(): string {
    return letterPut(this.model.get<string>("letter_in"), this.source.lettersIn);
  }

  private get letterOut(): string {
    return this.model.get<string>("letter_out");
  }

  private get order(): string {
    return this.model.get<Record<string, string>>("orders")[this.model.get<string>("letter_order")] ?? "";
  }

  /** The block that is brushed, where blocks are shown. */
  private get brush(): Brush | null {
    return this.form === "block" ? brushOf(this.state) : null;
  }

  private get wanted(): Wanted | null {
    const { pair, form } = this;
    if (!pair) return null;
    return form === "block" ? { kind: "block", pair } : { kind: "row", position: pair[0], letter: this.letterIn };
  }

  private listen(): void {
    const { undo, model, state } = this;
    this.source.listen(undo);
    this.pointer.listen(undo);
    undo.on(state, ["change:selection"], () => this.moved());
    undo.on(state, ["change:sequence"], () => {
      this.pointer.whole();
      this.ask();
    });
    // Another mask means another Jacobian; without a kernel there will be none.
    undo.on(state, ["change:mask"], () => {
      if (state.comm_live !== false) this.source.forget();
      this.ask();
    });
    undo.on(state, ["change:hover", "change:brush", "change:colour_percentile", ...NAMING], () => this.draw.ask());
    undo.on(model, ["change:mean"], () => this.draw.ask());
    undo.on(model, ["change:form", "change:letter_in"], () => this.ask());
    undo.on(model, ["change:letter_out", "change:quantity", "change:letter_order", "change:kind"], () => this.draw.ask());
    undo.add(
      watchTheme(() => {
        this.readTheme();
        this.draw.ask();
      }),
    );
    const observer = new ResizeObserver(() => this.draw.ask());
    observer.observe(this.frame.plot);
    undo.add(() => observer.disconnect());
    undo.listen(this.frame.swap, "click", () => this.pair && choosePair(state, [this.pair[1], this.pair[0]]));
    undo.listen(this.frame.block, "pointermove", (event) => this.pointBlock(event));
    undo.listen(this.frame.block, "pointerleave", () => this.pointBlock(null));
    undo.listen(this.frame.block, "click", (event) => this.pick(event));
  }

  private readTheme(): void {
    this.theme = readTheme(this.el);
    this.colours = diverging(this.theme.surface, this.theme.dark);
  }

  private moved(): void {
    const { pair } = this;
    if (pair) this.pointer.reveal(pair[1]);
    this.ask();
  }

  /** Ask the kernel for what is to be shown, unless it is here. */
  private ask(): void {
    const { wanted } = this;
    this.pointed = null;
    if (wanted) this.source.ask(wanted);
    this.draw.ask();
  }

  // ---- what is drawn

  private get refused(): string {
    if (this.brush && this.quantity === "epistasis") return "A mean over several residues has no one wild-type letter; choose other values, or one pair.";
    return refusal(this.quantity, this.source.lettersIn, this.source.lettersOut, this.sequence.residues);
  }

  private get choice(): Choice {
    return { form: this.form, quantity: this.quantity, letterOut: this.letterOut, order: this.order, residues: this.sequence.residues };
  }

  private meanPicture(part: MeanPart): BlockPicture {
    const numbers = blockNumbers(part, decode(part.values)!.values, this.choice);
    const words = { rowTitle: "put in place of a row's residue", columnTitle: "letter read at a column's residue" };
    return { ...numbers, ...words, wildTypeRow: "", wildTypeColumn: "", picked: numbers.rows.indexOf(this.letterIn) };
  }

  private blockPicture(part: BlockPart): BlockPicture {
    const { sequence } = this;
    const [i, j] = part.pair;
    const numbers = blockNumbers(part, decode(part.values)!.values, this.choice);
    return {
      ...numbers,
      wildTypeRow: sequence.residues[i - 1] ?? "",
      wildTypeColumn: sequence.residues[j - 1] ?? "",
      rowTitle: `put in place of ${residueLabel(sequence, i)}`,
      columnTitle: `letter read at ${residueLabel(sequence, j)}`,
      picked: numbers.rows.indexOf(this.letterIn),
    };
  }

  /** Numbers along the chain, worked out again only when something of theirs changes: the pointer does not. */
  private along(part: RowPart): ChainNumbers & { limit: number } {
    const { choice } = this;
    const percentile = choice.form === "profile" ? 100 : this.state.get<number>("colour_percentile");
    const key = JSON.stringify([choice, percentile]);
    if (this.worked?.part !== part || this.worked.key !== key) {
      const { values, shape } = decode(part.values)!;
      const numbers = chainNumbers(part, values, shape, choice);
      this.worked = { part, key, numbers: { ...numbers, limit: chainLimit(numbers.values, numbers.columns, part.pos_in - 1, percentile) } };
    }
    return this.worked.numbers;
  }

  private paint(): void {
    const { pair, sequence, wanted, form, brush, frame } = this;
    const mean = brush && meanOf(this.model, brush);
    if (mean) this.source.learn(mean);
    const part = brush ? mean : wanted && this.source.get(wanted);
    const ready = part?.status === "ready" && part.values && !this.refused ? part : null;
    frame.title.textContent = brush ? blockText(sequence, brush) : pair ? this.heading(pair) : "No pair selected";
    frame.caption.hidden = !pair && !brush;
    const caption = captionText(form, this.quantity, this.letterOut, this.source.lettersIn[0] === MASK, this.model.get<string>("kind"));
    frame.caption.textContent = mean?.words ? `${caption}; ${mean.words}` : caption;
    frame.swap.hidden = brush !== null || !pair || pair[0] === pair[1];
    this.el.classList.toggle("cj-empty", !ready);
    frame.block.hidden = form !== "block";
    frame.chain.hidden = form === "block";
    frame.note.textContent = ready ? "" : this.absence(pair, part?.note ?? "");
    this.shown = null;
    const width = Math.min(frame.plot.clientWidth || 320, LARGEST);
    if (ready && form === "block") {
      const picture = "pair" in ready ? this.blockPicture(ready) : this.meanPicture(ready as MeanPart);
      const layout = blockLayout(width, picture.rows.length, picture.columns.length);
      this.shown = { form, picture, layout, limit: largestMagnitude(picture.values) };
      drawBlock(frame.block, layout, picture, this.theme, this.colours, this.shown.limit, this.pointed);
    } else if (ready && pair && form !== "block") {
      const numbers = this.along(ready as RowPart);
      this.shown = { form, ...numbers, layout: chainLayout(this.frame.plot.clientWidth || 320, form === "profile" ? 0 : numbers.columns) };
      this.paintChain(this.shown, pair, sequence);
    }
    // A profile's height says it; colours are for the sign only.
    this.frame.paintScale(this.theme, this.colours, !this.shown || form === "profile" ? null : this.shown.limit);
    this.words();
    this.showControls(pair);
  }

  private heading([i, j]: Pair): string {
    const { sequence, form } = this;
    if (form === "block") return `${residueLabel(sequence, i)} → ${residueLabel(sequence, j)}`;
    return `${mutant(sequence, i, this.letterIn)} → ${this.letterOut && form === "profile" ? `${this.letterOut} along the chain` : "the chain"}`;
  }

  private paintChain(shown: Extract<Shown, { columns: number }>, pair: Pair, sequence: SequenceInfo): void {
    const hover = readPair(this.state.get("hover"), this.length);
    const picture = {
      sequence,
      sight: this.pointer.sight,
      values: shown.values,
      letters: shown.letters,
      limit: shown.limit,
      signed: shown.letters !== null || this.letterOut !== "",
      masked: maskedResidues(this.state.get<[number, number][] | null>("mask"), this.length),
      self: pair[0] - 1,
      selected: pair[1] - 1,
      pointed: hover ? hover[1] - 1 : -1,
      pointedLine: hover ? this.pointer.line : -1,
      title: "residue read",
    };
    this.painter.draw(this.frame.chain, shown.layout, picture, this.theme, this.colours);
  }

  private absence(pair: Pair | null, note: string): string {
    if (!pair && !this.brush) return "Click a pair on the map to see how its residues depend on each other, letter by letter.";
    if (this.refused) return this.refused;
    if (note) return note;
    // In a page without a kernel there is nobody to ask.
    return this.state.comm_live === false ? "This slice was not saved with the page; run the notebook to see it." : "Asking for this slice…";
  }

  private showControls(pair: Pair | null): void {
    const { sequence, order, form, source } = this;
    const [put, read] = [source.lettersIn, source.lettersOut];
    const inOrder = (letters: string[]): string[] => displayOrder(letters, order).map((k) => letters[k]!);
    // The line names letters where they are not all that the Jacobian has, or not in its order.
    const named = (letters: string[]): string[] | null => (!source.someLetters && inOrder(letters).join() === letters.join() ? null : inOrder(letters));
    const [letterIn, letterOut] = [this.letterIn, this.letterOut];
    const shown = { form, letterIn, letterOut, quantity: this.quantity, lettersIn: named(put), lettersOut: named(read) };
    let line = "";
    if (put.length && !this.refused) line = this.brush ? meanLine(this.brush, shown) : pair ? pythonLine({ ...shown, pair }) : "";
    this.controls.show({
      form,
      lettersIn: inOrder(put),
      lettersOut: inOrder(read),
      letterIn,
      letterOut,
      residueIn: pair ? residueLabel(sequence, pair[0]) : "",
      wildIn: (pair && sequence.residues[pair[0] - 1]) ?? "",
      refusal: (quantity) => refusal(quantity as Quantity, put, read, sequence.residues),
      kind: this.model.get<string>("kind"),
      line,
    });
  }

  // ---- what is said

  /** The cell under the pointer, or the strongest. */
  private words(): void {
    const { shown, pair, sequence } = this;
    this.frame.readout.textContent = "";
    if (!shown || (!pair && !this.brush)) return;
    let text = "";
    if (shown.form === "block") {
      const { values, columns } = shown.picture;
      const at = this.pointed ? this.pointed[0] * columns.length + this.pointed[1] : strongest(values, columns.length, -1);
      // A model that reads from left to right: what comes later changes nothing before it.
      if (pair && pair[0] !== pair[1] && values.every((value) => value === 0)) text = `Nothing put at ${residueLabel(sequence, pair[0])} changes what is read at ${residueLabel(sequence, pair[1])}; ⇄ shows the other direction.`;
      else text = (this.pointed ? "" : "strongest: ") + this.blockText(shown.picture, pair, at);
    } else if (pair) {
      const hover = readPair(this.state.get("hover"), this.length);
      const at = hover ? (hover[1] - 1) * shown.columns + this.lineFor(shown, hover[1] - 1) : strongest(shown.values, shown.columns, pair[0] - 1);
      if (!shown.values.some((value) => value !== 0)) text = `${this.letterIn} is the wild type at ${residueLabel(sequence, pair[0])}, so nothing changes; choose another letter.`;
      else if (at >= 0) text = (hover ? "" : "strongest: ") + this.chainText(shown, pair, at);
    }
    this.frame.readout.textContent = text;
    const canvas = shown.form === "block" ? this.frame.block : this.frame.chain;
    canvas.setAttribute("aria-label", `${shown.form} of ${this.frame.title.textContent ?? ""}; ${text}${shown.form === "block" ? "" : " Arrow keys move the selection."}`);
  }

  /** The letter of a matrix that is read out: the one pointed at, or the strongest of that residue. */
  private lineFor(shown: Extract<Shown, { columns: number }>, j: number): number {
    if (!shown.letters) return 0;
    if (this.pointer.line >= 0) return this.pointer.line;
    return Math.max(0, strongest(shown.values.subarray(j * shown.columns, (j + 1) * shown.columns), shown.columns, -1));
  }

  private isMasked(position: number): boolean {
    return maskedResidues(this.state.get<[number, number][] | null>("mask"), this.length)[position - 1] ?? false;
  }

  private blockText({ rows, columns, values }: BlockPicture, pair: Pair | null, at: number): string {
    const cell = { letterIn: rows[Math.floor(at / columns.length)]!, letterOut: columns[at % columns.length]!, value: values[at]!, quantity: this.quantity };
    return this.brush || !pair ? meanText(cell) : cellText(this.sequence, { ...cell, pair, masked: this.isMasked(pair[1]) });
  }

  private chainText(shown: Extract<Shown, { columns: number }>, pair: Pair, at: number): string {
    const j = Math.floor(at / shown.columns) + 1;
    const letterOut = shown.letters ? shown.letters[at % shown.columns]! : this.letterOut;
    return cellText(this.sequence, { pair: [pair[0], j], letterIn: this.letterIn, letterOut, value: shown.values[at]!, quantity: this.quantity, masked: this.isMasked(j) });
  }

  // ---- the pointer and the keys

  private blockAt(event: MouseEvent): [number, number] | null {
    if (this.shown?.form !== "block") return null;
    const { layout, picture } = this.shown;
    const box = this.frame.block.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top - layout.top) / layout.cell);
    const column = Math.floor((event.clientX - box.left - layout.left) / layout.cell);
    // −1 for the letters beside the cells, which can be clicked too.
    const [insideRows, insideColumns] = [row >= 0 && row < picture.rows.length, column >= 0 && column < picture.columns.length];
    return insideRows || insideColumns ? [insideRows ? row : -1, insideColumns ? column : -1] : null;
  }

  private pointBlock(event: PointerEvent | null): void {
    const at = event && this.blockAt(event);
    const pointed = at && at[0] >= 0 && at[1] >= 0 ? at : null;
    if (String(pointed) === String(this.pointed)) return;
    this.pointed = pointed;
    this.draw.ask();
  }

  /** A click takes the row's letter for the other forms; one on the letters below takes the letter to be read. */
  private pick(event: MouseEvent): void {
    const at = this.blockAt(event);
    if (!at || this.shown?.form !== "block") return;
    const { rows, columns } = this.shown.picture;
    if (at[0] >= 0) this.model.set("letter_in", rows[at[0]]!);
    else this.model.set("letter_out", columns[at[1]]!);
    this.model.save_changes();
    this.draw.ask();
  }

  dispose(): void {
    this.pointer.stop();
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
