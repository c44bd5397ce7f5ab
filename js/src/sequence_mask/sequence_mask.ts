// The sequence track: which residues the model may see, as fragments that one drags, grows and shrinks.

import { onceAFrame, readTheme, sizeCanvas, watchTheme, type Theme } from "../shared/canvas";
import { fragmentAt, hidden, inverted, maskOf, replaced, same, shifted, showsAll, shown, visibleOf, without, type Fragment, type Grip } from "../shared/fragments";
import { maskedResidues } from "../shared/geometry";
import { NAMING, sequenceOf, sharedState, throttledSave, Undo, type Model, type Pair, type RenderContext, type SequenceInfo } from "../shared/model";
import { clickResidue, readPair, readRuns, samePair } from "../shared/selection";
import { make, say } from "../shared/text";
import { TrackBands } from "./bands";
import { maskControls, type MaskControls } from "./controls";
import { drawLetters, drawLinks } from "./drawing";
import { dragged, gripAt, layoutTrack, positionAt, type TrackLayout } from "./layout";
import { maskText, pointedText } from "./words";

/** What the kernel is sent while a fragment is dragged; it answers with a frame of the contact map. */
interface DragMessage {
  kind: "drag";
  /** Grows with every message, over all views of a page. */
  serial: number;
  fragments: Fragment[];
}

/** How a press that moves changes the fragments: an end or a whole one, a stretch shown, shown alone, or masked. */
interface Drag {
  kind: Grip | "show" | "only" | "mask";
  fragment: number;
  base: Fragment[];
  from: { x: number; y: number };
  position: number;
  moved: boolean;
}

const HOVER_WAIT = 100;
/** After the last arrow key the mask is set for good. */
const KEY_WAIT = 400;
const CLICK_ROOM = 3;
/** Pixels that one move of the pointer beyond the lines scrolls at most. */
const SCROLL_STEP = 20;

let latestSerial = 0;

class SequenceMaskView {
  private readonly undo = new Undo();
  private readonly caption = make("div", "cj-caption");
  private readonly readout = make("div", "cj-pointed");
  /** Scrolls where the lines would push the map out of sight. */
  private readonly room = make("div", "cj-trackroom");
  private readonly plot = make("div", "cj-track");
  private readonly canvas = make("canvas", "cj-letters", "", { role: "img" });
  private readonly note = make("div", "cj-notice", "", { role: "note" });
  private readonly bands: TrackBands;
  private readonly controls: MaskControls;
  private readonly hoverSave: ReturnType<typeof throttledSave>;
  private readonly draw = onceAFrame(() => this.paint());
  private readonly ask = onceAFrame(() => this.sendDrag());
  private theme!: Theme;
  private sequence!: SequenceInfo;
  private layout!: TrackLayout;
  private drag: Drag | null = null;
  /** Index of the fragment that was touched last. */
  private current = -1;
  private committed: Fragment[] = [];
  private keyTimer: ReturnType<typeof setTimeout> | undefined;
  private moment = 0;

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-mask");
    this.hoverSave = throttledSave(state, HOVER_WAIT);
    this.bands = new TrackBands((fragment, grip, event) => this.key(fragment, grip, event), (fragment) => this.touch(fragment));
    this.controls = maskControls(this.undo, {
      fragments: () => this.committed,
      length: () => this.length,
      chains: () => this.sequence.chains.map(([, first, last]) => [first, last]),
      preview: (fragments) => this.preview(fragments),
      commit: (fragments) => this.commit(fragments, true),
      press: (name) => this.press(name),
    });
    const head = make("div", "cj-trackhead");
    head.append(make("div", "cj-title", "Sequence"), this.caption, this.readout);
    this.plot.append(this.bands.element, this.canvas);
    this.room.append(this.plot);
    el.replaceChildren(head, this.room, this.controls.element, this.note);
    this.readSequence();
    this.theme = readTheme(el);
    this.listen();
  }

  private get length(): number {
    return this.sequence.residues.length;
  }

  private get previewed(): Fragment[] | null {
    const fragments = this.state.get<Fragment[] | null>("mask_preview");
    return fragments ? visibleOf(fragments, this.length) : null;
  }

  /** What is shown now: what is being dragged, else the mask. */
  private get fragments(): Fragment[] {
    return this.previewed ?? this.committed;
  }

  /** Whether the model can have residues hidden from it; if not, the letters are there to be pointed at only. */
  private get maskable(): boolean {
    return this.model.get<boolean>("maskable");
  }

  private listen(): void {
    const { undo, model, state } = this;
    undo.on(state, NAMING, () => this.readSequence());
    undo.on(state, ["change:mask"], () => this.readMask());
    undo.on(state, ["change:mask_preview", "change:hover", "change:selection", "change:residues"], () => this.draw.ask());
    undo.on(model, ["change:note", "change:maskable", "change:can_undo", "change:can_redo"], () => this.draw.ask());
    undo.add(
      watchTheme(() => {
        this.theme = readTheme(this.el);
        this.draw.ask();
      }),
    );
    const observer = new ResizeObserver(() => this.arrange());
    observer.observe(this.plot);
    undo.add(() => observer.disconnect());
    const { plot } = this;
    undo.listen(plot, "pointerdown", (event) => this.take(event));
    undo.listen(plot, "pointermove", (event) => this.move(event));
    undo.listen(plot, "pointerup", (event) => this.release(event));
    undo.listen(plot, "pointercancel", () => this.abandon());
    undo.listen(plot, "pointerenter", () => this.tell({ kind: "ready" }));
    undo.listen(plot, "pointerleave", () => {
      if (!this.drag) this.setHover(null);
    });
    undo.listen(this.el, "keydown", (event) => {
      this.plot.classList.remove("cj-bypointer");
      if (event.key === "Escape" && this.previewed) {
        this.abandon();
        event.stopPropagation();
      }
    });
  }

  // ---- the pointer

  private pointOf(event: MouseEvent): { x: number; y: number } {
    const box = this.plot.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private take(event: PointerEvent): void {
    if (event.button !== 0 || !event.isPrimary) return;
    this.settleKeys();
    const from = this.pointOf(event);
    const position = positionAt(this.layout, from.x, from.y, true);
    if (position === null) return;
    const base = this.committed;
    const hit = gripAt(this.layout, base, from.x, from.y);
    const whole = hit?.grip === "whole" && showsAll(base, this.length);
    const kind = event.shiftKey ? "mask" : whole ? "only" : (hit?.grip ?? "show");
    this.drag = { kind, fragment: hit?.fragment ?? -1, base, from, position, moved: false };
    this.touch(hit?.fragment ?? -1);
    this.plot.setPointerCapture(event.pointerId);
    // The band or handle is focused by hand below; the letters must not be selected as text.
    event.preventDefault();
    this.plot.classList.add("cj-bypointer");
    if (hit) this.bands.focus(hit.fragment, hit.grip);
  }

  private move(event: PointerEvent): void {
    const { drag } = this;
    const now = this.pointOf(event);
    if (!drag) {
      const position = positionAt(this.layout, now.x, now.y);
      this.setHover(position === null ? null : [position, position]);
      return;
    }
    this.follow(event);
    drag.moved ||= this.maskable && Math.hypot(now.x - drag.from.x, now.y - drag.from.y) > CLICK_ROOM;
    if (!drag.moved) return;
    this.moment = event.timeStamp;
    this.plot.classList.add("cj-dragging");
    if (this.state.get("hover")) this.setHover(null);
    const to = positionAt(this.layout, now.x, now.y, true) ?? drag.position;
    const next = this.dragResult(drag, now, to);
    this.touch(fragmentAt(next, drag.kind === "start" || drag.kind === "end" || drag.kind === "whole" ? this.heldPosition(drag, now) : to));
    if (!same(next, this.fragments)) this.preview(next);
  }

  /** Scroll on where a drag goes beyond the lines in sight. */
  private follow(event: PointerEvent): void {
    const box = this.room.getBoundingClientRect();
    const beyond = Math.max(0, event.clientY - box.bottom) - Math.max(0, box.top - event.clientY);
    if (beyond) this.room.scrollTop += Math.max(-SCROLL_STEP, Math.min(SCROLL_STEP, beyond));
  }

  private held(drag: Drag, now: { x: number; y: number }): Fragment {
    return shifted(drag.base[drag.fragment]!, drag.kind as Grip, dragged(this.layout, drag.from, now), this.length);
  }

  private heldPosition(drag: Drag, now: { x: number; y: number }): number {
    return this.held(drag, now)[drag.kind === "end" ? 1 : 0];
  }

  private dragResult(drag: Drag, now: { x: number; y: number }, to: number): Fragment[] {
    switch (drag.kind) {
      case "show":
        return shown(drag.base, drag.position, to, this.length);
      case "only":
        return shown([], drag.position, to, this.length);
      case "mask":
        return hidden(drag.base, drag.position, to, this.length);
      default:
        return replaced(drag.base, drag.fragment, this.held(drag, now), this.length);
    }
  }

  private release(event: PointerEvent): void {
    const { drag } = this;
    if (!drag) return;
    this.drag = null;
    this.plot.classList.remove("cj-dragging");
    if (drag.moved) return this.commit(this.fragments);
    const position = positionAt(this.layout, drag.from.x, drag.from.y);
    if (position !== null) clickResidue(this.state, position, event.shiftKey);
  }

  /** Let go of what is being dragged; the mask stays as it was. */
  private abandon(): void {
    clearTimeout(this.keyTimer);
    this.keyTimer = undefined;
    this.drag = null;
    this.plot.classList.remove("cj-dragging");
    this.ask.stop();
    this.controls.reset();
    this.state.set("mask_preview", null);
    this.state.save_changes();
    this.draw.ask();
  }

  // ---- keys and buttons

  private key(k: number, grip: Grip, event: KeyboardEvent): void {
    const base = this.fragments;
    const fragment = base[k];
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!fragment || !this.maskable) return;
    if (event.key === "Delete" || event.key === "Backspace") this.commit(without(base, k));
    else if (step) {
      const next = shifted(fragment, grip, step * (event.shiftKey ? 10 : 1), this.length);
      this.moment = event.timeStamp;
      this.preview(replaced(base, k, next, this.length));
      const now = fragmentAt(this.fragments, next[0]);
      this.touch(now);
      this.arrangeBands();
      this.bands.focus(now, grip);
      clearTimeout(this.keyTimer);
      this.keyTimer = setTimeout(() => this.settleKeys(), KEY_WAIT);
    } else return;
    // Jupyter listens to the same keys.
    event.preventDefault();
    event.stopPropagation();
  }

  private settleKeys(): void {
    if (this.keyTimer === undefined) return;
    clearTimeout(this.keyTimer);
    this.keyTimer = undefined;
    this.commit(this.fragments);
  }

  private press(name: "mask" | "show" | "invert" | "delete" | "undo" | "redo"): void {
    this.settleKeys();
    if (name === "mask") this.commit([]);
    else if (name === "show") this.commit([[1, this.length]]);
    else if (name === "invert") this.commit(inverted(this.committed, this.length));
    else if (name === "delete") this.commit(without(this.committed, this.current));
    else this.tell({ kind: name });
  }

  private touch(fragment: number): void {
    if (this.current === fragment) return;
    this.current = fragment;
    this.draw.ask();
  }

  // ---- the mask

  private preview(fragments: Fragment[]): void {
    this.state.set("mask_preview", fragments);
    this.draw.ask();
    this.ask.ask();
  }

  private commit(fragments: Fragment[], fromSlider = false): void {
    this.ask.stop();
    // Before the trait: what changes by this hand is no reason to put the sliders back.
    this.committed = fragments;
    this.state.set("mask", maskOf(fragments, this.length));
    this.state.set("mask_preview", null);
    this.state.save_changes();
    if (!fromSlider) this.controls.reset();
    this.draw.ask();
  }

  private sendDrag(): void {
    const fragments = this.previewed;
    if (!fragments || !this.model.get<boolean>("previews")) return;
    latestSerial = Math.max(latestSerial + 1, Date.now());
    const message: DragMessage = { kind: "drag", serial: latestSerial, fragments };
    this.tell(message);
    // For whoever measures how long the answer takes.
    this.el.dispatchEvent(new CustomEvent("catjac-drag", { bubbles: true, detail: { serial: latestSerial, moved: this.moment } }));
  }

  private tell(message: DragMessage | { kind: "ready" | "undo" | "redo" }): void {
    if (this.model.comm_live !== false) this.model.send(message);
  }

  private readMask(): void {
    const now = visibleOf(this.state.get<Fragment[] | null>("mask"), this.length);
    if (!same(now, this.committed)) {
      this.committed = now;
      if (!this.drag) this.controls.reset();
    }
    if (!now[this.current]) this.current = -1;
    this.draw.ask();
  }

  private setHover(pair: Pair | null): void {
    if (!samePair(pair, readPair(this.state.get("hover"), this.length))) this.hoverSave.set("hover", pair);
  }

  // ---- the picture

  private readSequence(): void {
    this.sequence = sequenceOf(this.state);
    this.committed = visibleOf(this.state.get<Fragment[] | null>("mask"), this.length);
    this.controls.reset();
    this.arrange();
  }

  private arrange(): void {
    this.layout = layoutTrack(this.sequence, this.plot.clientWidth || 600);
    this.plot.style.height = `${this.layout.height}px`;
    this.draw.ask();
  }

  private arrangeBands(): void {
    this.bands.arrange(this.layout, this.fragments, this.current, this.sequence);
  }

  private paint(): void {
    const { state, layout, sequence, length, fragments } = this;
    const context = sizeCanvas(this.canvas, layout.width, layout.height);
    const picture = { context, theme: this.theme, sequence, layout };
    const hover = readPair(state.get("hover"), length);
    drawLetters(picture, maskedResidues(fragments, length));
    drawLinks(picture, hover, readPair(state.get("selection"), length), readRuns(state.get("residues"), length));
    this.arrangeBands();
    this.bands.element.hidden = this.controls.element.hidden = !this.maskable;
    const words = this.maskable ? maskText(sequence, fragments) : "";
    this.caption.textContent = words;
    this.canvas.setAttribute("aria-label", `Sequence of ${length} residues. ${words}`);
    this.readout.textContent = hover ? pointedText(sequence, hover, fragments) : "";
    say(this.note, this.model.get<string>("note"));
    const live = this.model.comm_live !== false;
    this.controls.enable({
      mask: fragments.length > 0,
      show: !showsAll(fragments, length),
      delete: Boolean(this.committed[this.current]),
      undo: live && this.model.get<boolean>("can_undo"),
      redo: live && this.model.get<boolean>("can_redo"),
    });
  }

  dispose(): void {
    this.settleKeys();
    this.hoverSave.stop();
    this.draw.stop();
    this.ask.stop();
    this.undo.run();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new SequenceMaskView(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
