// What the mouse does on the contact map: hover, select, brush, zoom, pan.

import { blockBetween, type Brush } from "../shared/brush";
import { cellAt, whole, zoomAt, type Sight } from "../shared/geometry";
import type { Pair, Undo } from "../shared/model";
import { MARGIN } from "./drawing";

export interface MapHand {
  sight(): Sight;
  size(): number;
  cells(): number;
  look(sight: Sight): void;
  hover(pair: Pair | null): void;
  select(pair: Pair): void;
  /** A rectangle while it is dragged, for a brush or to be zoomed into; null when that is over. */
  drag(brush: Brush | null, zoom: boolean): void;
  brush(brush: Brush): void;
}

/** What a press that moves does; "pan" begins in the axes' margin, or with alt or the middle button. */
type Kind = "brush" | "zoom" | "pan";

interface Press {
  kind: Kind;
  x: number;
  y: number;
  sight: Sight;
  from: Pair;
  moved: boolean;
}

const CLICK_ROOM = 4;

/** The part of the map that shows a block: its longer side fills the plot. */
export function sightOf([rows, columns]: Brush): Sight {
  const [height, width] = [rows[1] - rows[0] + 1, columns[1] - columns[0] + 1];
  const span = Math.max(height, width);
  return { x: columns[0] - 1 - (span - width) / 2, y: rows[0] - 1 - (span - height) / 2, span };
}

export function listenToPointer(overlay: HTMLElement, undo: Undo, hand: MapHand): void {
  let press: Press | null = null;
  const point = (event: MouseEvent): [number, number] => {
    const box = overlay.getBoundingClientRect();
    return [event.clientX - box.left - MARGIN.left, event.clientY - box.top - MARGIN.top];
  };
  const pairAt = (event: MouseEvent): Pair | null => {
    const cell = cellAt(...point(event), hand.size(), hand.sight(), hand.cells());
    return cell && [cell[0] + 1, cell[1] + 1];
  };
  /** The pair under the pointer, or the nearest one in sight. */
  const nearest = (event: MouseEvent): Pair => {
    const inside = (at: number): number => Math.min(Math.max(at, 0), hand.size() - 0.01);
    const [x, y] = point(event);
    const [row, column] = cellAt(inside(x), inside(y), hand.size(), hand.sight(), hand.cells()) ?? [0, 0];
    return [row + 1, column + 1];
  };
  const kindOf = (event: PointerEvent): Kind => {
    if (event.button === 1 || event.altKey || !pairAt(event)) return "pan";
    return event.shiftKey ? "zoom" : "brush";
  };
  const end = (): void => {
    if (press?.moved && press.kind !== "pan") hand.drag(null, false);
    press = null;
  };

  undo.listen(overlay, "pointerdown", (event) => {
    // A finger scrolls the page; its tap selects.
    if (event.button > 1 || !event.isPrimary) return;
    if (event.button === 1) event.preventDefault();
    press = { kind: kindOf(event), x: event.clientX, y: event.clientY, sight: hand.sight(), from: nearest(event), moved: false };
  });
  undo.listen(overlay, "pointermove", (event) => {
    if (!press || !event.buttons || event.pointerType === "touch") return hand.hover(pairAt(event));
    const [dx, dy] = [event.clientX - press.x, event.clientY - press.y];
    if (!press.moved && Math.hypot(dx, dy) <= CLICK_ROOM) return;
    if (!press.moved) {
      press.moved = true;
      overlay.setPointerCapture(event.pointerId);
      hand.hover(null);
    }
    if (press.kind !== "pan") return hand.drag(blockBetween(press.from, nearest(event)), press.kind === "zoom");
    const cells = press.sight.span / hand.size();
    hand.look({ x: press.sight.x - dx * cells, y: press.sight.y - dy * cells, span: press.sight.span });
  });
  undo.listen(overlay, "pointerup", (event) => {
    const done = press;
    end();
    if (!done) return;
    const pair = pairAt(event);
    if (!done.moved) {
      if (pair && event.button === 0) hand.select(pair);
      return;
    }
    const block = blockBetween(done.from, nearest(event));
    const one = block.every(([first, last]) => first === last);
    if (done.kind === "zoom") hand.look(sightOf(block));
    else if (done.kind === "brush") one ? hand.select(done.from) : hand.brush(block);
  });
  undo.listen(overlay, "pointercancel", end);
  undo.listen(overlay, "keydown", (event) => {
    if (event.key !== "Escape" || !press?.moved) return;
    end();
    event.stopImmediatePropagation();
  });
  undo.listen(overlay, "pointerleave", () => hand.hover(null));
  undo.listen(overlay, "dblclick", () => hand.look(whole(hand.cells())));
  // Without a modifier the wheel belongs to the notebook; a pinch arrives as a wheel with ctrl.
  undo.listen(
    overlay,
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const [x, y] = point(event);
      hand.look(zoomAt(hand.sight(), hand.cells(), x / hand.size(), y / hand.size(), Math.exp(-event.deltaY / 300)));
    },
    { passive: false },
  );
}
