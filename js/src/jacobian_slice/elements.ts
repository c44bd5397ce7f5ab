// The elements of the slice view, from top to bottom.

import { sizeCanvas, type Theme } from "../shared/canvas";
import type { Triple } from "../shared/colour";
import { make, tickText } from "../shared/text";
import { drawScale } from "./block_drawing";
import type { SliceControls } from "./controls";

const LEGEND_WIDTH = 150;

export class SliceFrame {
  readonly title = make("div", "cj-title");
  readonly caption = make("div", "cj-caption");
  readonly swap = make("button", "cj-button", "⇄", { type: "button", title: "The other direction: swap the two residues", "aria-label": "swap the two residues" });
  readonly plot = make("div", "cj-plot cj-blockplot");
  readonly block = make("canvas", "cj-block", "", { role: "img" });
  readonly chain = make("canvas", "cj-chain", "", { tabindex: "0", role: "application", "aria-roledescription": "profile along the chain" });
  readonly note = make("div", "cj-note", "", { role: "status" });
  readonly readout = make("div", "cj-readout");
  private readonly legend = make("canvas", "cj-legend", "", { role: "img" });
  private readonly scale = make("div", "cj-scale");

  constructor(el: HTMLElement, controls: SliceControls) {
    el.classList.add("catjac", "cj-slice");
    const head = make("div", "cj-head");
    const titles = make("div", "cj-titles");
    const line = make("div", "cj-titleline");
    line.append(this.title, this.swap);
    titles.append(line, this.caption);
    this.scale.append(this.legend, make("span", "cj-unit", "logits"));
    head.append(titles, this.scale);
    this.plot.append(this.block, this.chain, this.note);
    el.replaceChildren(head, controls.tabs, controls.letters, this.plot, this.readout, controls.below);
  }

  /** The colour scale up to `limit` on both sides; none for null. */
  paintScale(theme: Theme, colours: Triple[], limit: number | null): void {
    this.scale.hidden = limit === null;
    if (limit === null) return;
    drawScale(sizeCanvas(this.legend, LEGEND_WIDTH, 30), theme, colours, limit, LEGEND_WIDTH);
    this.legend.setAttribute("aria-label", `colour scale from ${tickText(-limit)} to ${tickText(limit)} logits`);
  }
}
