// The pointer and the keys along the chain: hover and selection are shared, the part in sight is this view's own.

import { clampSight, reveal, whole, zoomAt, type Sight } from "../shared/geometry";
import { throttledSave, type Model, type Pair, type SequenceInfo, type Undo } from "../shared/model";
import { choosePair, movePair, readPair } from "../shared/selection";
import { chainCell, type ChainLayout } from "./chain_drawing";

const HOVER_WAIT = 100;
const ZOOMS: Record<string, number> = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 };

export class ChainPointer {
  sight: Sight;
  /** Letter of a matrix under the pointer, −1 for none. */
  line = -1;
  private readonly save: ReturnType<typeof throttledSave>;

  constructor(
    private readonly state: Model,
    private readonly canvas: HTMLCanvasElement,
    /** Where the plot lies; null while there is none. */
    private readonly layout: () => ChainLayout | null,
    private readonly changed: () => void,
  ) {
    this.sight = whole(this.length);
    this.save = throttledSave(state, HOVER_WAIT);
  }

  listen(undo: Undo): void {
    const { canvas } = this;
    undo.listen(canvas, "pointermove", (event) => this.point(event));
    undo.listen(canvas, "pointerleave", () => this.point(null));
    undo.listen(canvas, "click", (event) => {
      const at = this.at(event);
      if (at && this.pair) choosePair(this.state, [this.pair[0], at[0] + 1]);
    });
    undo.listen(canvas, "dblclick", () => this.whole());
    undo.listen(canvas, "wheel", (event) => this.wheel(event), { passive: false });
    undo.listen(canvas, "keydown", (event) => this.key(event));
  }

  whole(): void {
    this.look(whole(this.length));
  }

  /** Bring a 1-based position into sight. */
  reveal(position: number): void {
    this.look(reveal(this.sight, this.length, position - 1, this.sight.y));
  }

  stop(): void {
    this.save.stop();
  }

  private get length(): number {
    return this.state.get<SequenceInfo>("sequence").residues.length;
  }

  private get pair(): Pair | null {
    return readPair(this.state.get("selection"), this.length);
  }

  private look(sight: Sight): void {
    this.sight = clampSight(sight, this.length);
    this.changed();
  }

  private at(event: MouseEvent): [number, number] | null {
    const layout = this.layout();
    if (!layout) return null;
    const box = this.canvas.getBoundingClientRect();
    return chainCell(layout, this.sight, this.length, event.clientX - box.left, event.clientY - box.top);
  }

  private point(event: PointerEvent | null): void {
    const at = event && this.at(event);
    const line = at ? at[1] : -1;
    if (line !== this.line) this.changed();
    this.line = line;
    const hover: Pair | null = at && this.pair ? [this.pair[0], at[0] + 1] : null;
    if (String(hover) !== String(readPair(this.state.get("hover"), this.length))) this.save.set("hover", hover);
  }

  private wheel(event: WheelEvent): void {
    const layout = this.layout();
    if (!event.ctrlKey || !layout) return;
    event.preventDefault();
    const share = (event.clientX - this.canvas.getBoundingClientRect().left - layout.left) / layout.width;
    this.look(zoomAt(this.sight, this.length, Math.min(1, Math.max(0, share)), 0, Math.exp(-event.deltaY / 300)));
  }

  private key(event: KeyboardEvent): void {
    const { pair, sight, length } = this;
    const moved = movePair(pair, event.key, event.shiftKey, length);
    const factor = ZOOMS[event.key];
    if (moved) choosePair(this.state, moved);
    else if (factor) this.look(zoomAt(sight, length, pair ? Math.min(1, Math.max(0, (pair[1] - 0.5 - sight.x) / sight.span)) : 0.5, 0, factor));
    else if (event.key === "0") this.whole();
    else return;
    // Jupyter listens to the same keys.
    event.preventDefault();
    event.stopPropagation();
  }
}
