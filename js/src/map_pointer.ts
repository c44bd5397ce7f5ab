// What the mouse does on the contact map: hover, select, pan, zoom.

import { whole, zoomAt, type Sight } from "./geometry";
import { MARGIN } from "./map_drawing";
import type { Pair, Undo } from "./model";

export interface MapHand {
  sight(): Sight;
  size(): number;
  cells(): number;
  pairAt(event: MouseEvent): Pair | null;
  look(sight: Sight): void;
  hover(pair: Pair | null): void;
  select(pair: Pair): void;
}

export function listenToPointer(overlay: HTMLElement, undo: Undo, hand: MapHand): void {
  let pressed: { x: number; y: number; sight: Sight; moved: boolean } | null = null;
  undo.listen(overlay, "pointerdown", (event) => {
    if (event.button === 0) pressed = { x: event.clientX, y: event.clientY, sight: hand.sight(), moved: false };
  });
  undo.listen(overlay, "pointermove", (event) => {
    if (pressed && event.buttons & 1) {
      const [dx, dy] = [event.clientX - pressed.x, event.clientY - pressed.y];
      pressed.moved ||= Math.hypot(dx, dy) > 4;
      if (pressed.moved && hand.sight().span < hand.cells()) {
        overlay.setPointerCapture(event.pointerId);
        const cells = pressed.sight.span / hand.size();
        hand.look({ x: pressed.sight.x - dx * cells, y: pressed.sight.y - dy * cells, span: pressed.sight.span });
        return;
      }
    }
    hand.hover(hand.pairAt(event));
  });
  undo.listen(overlay, "pointerup", (event) => {
    const pair = hand.pairAt(event);
    if (pressed && !pressed.moved && pair) hand.select(pair);
    pressed = null;
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
      const box = overlay.getBoundingClientRect();
      const [fx, fy] = [(event.clientX - box.left - MARGIN.left) / hand.size(), (event.clientY - box.top - MARGIN.top) / hand.size()];
      hand.look(zoomAt(hand.sight(), hand.cells(), fx, fy, Math.exp(-event.deltaY / 300)));
    },
    { passive: false },
  );
}
