// The lines above the map: what each triangle shows, how well it finds the contacts, and its colour scale.

import { drawLegend, sizeCanvas, type Theme } from "../shared/canvas";
import { cssColour, type Triple } from "../shared/colour";
import { scaleTicks } from "../shared/geometry";
import { make, number, quantityText, say, tickText } from "../shared/text";
import type { Limits } from "./scores";
import type { Side } from "./shades";

/** What one line says. */
export interface Words {
  side: Side;
  label: string;
  caption: string;
  quantity: string;
  units: string;
  /** Null while there is no map. */
  limits: Limits | null;
}

const LEGEND_WIDTH = 150;

/** The corner that stands for a side, and what it means. */
export const SIDES: Record<Side, [string, string]> = {
  both: ["", ""],
  upper: ["◥", "above the diagonal"],
  lower: ["◣", "below the diagonal"],
};

/** One line: a title, a caption and a colour bar with its unit. */
export class MapHeader {
  readonly element = make("div", "cj-head");
  private readonly corner = make("span", "cj-corner", "", { role: "img" });
  private readonly title = make("div", "cj-title");
  private readonly caption = make("div", "cj-caption");
  private readonly unit = make("div", "cj-unit");
  private readonly legend = make("canvas", "cj-legend", "", { role: "img" });

  constructor() {
    const titles = make("div", "cj-titles");
    const line = make("div", "cj-titleline");
    const scale = make("div", "cj-scale");
    line.append(this.corner, this.title);
    titles.append(line, this.caption);
    scale.append(this.legend, this.unit);
    this.element.append(titles, scale);
  }

  show(words: Words | null, theme: Theme, colours: Triple[]): void {
    this.element.hidden = !words;
    if (!words) return;
    const [corner, where] = SIDES[words.side];
    say(this.corner, corner);
    this.corner.title = where;
    this.corner.setAttribute("aria-label", where);
    this.title.textContent = this.title.title = words.label;
    this.caption.textContent = words.caption;
    this.unit.textContent = words.limits ? [quantityText(words.quantity), words.units].filter(Boolean).join(", ") : "";
    const context = sizeCanvas(this.legend, LEGEND_WIDTH, 30);
    if (!words.limits) return;
    const { low, high } = words.limits;
    const marks = scaleTicks(low, high, words.quantity === "contact" ? 1 : 4).map((value) => ({ at: (value - low) / (high - low), text: tickText(value) }));
    drawLegend(context, theme, colours.filter((_, k) => k % 15 === 0).map((colour) => cssColour(colour)), marks, LEGEND_WIDTH);
    this.legend.setAttribute("aria-label", `colour scale of ${words.label} from ${number(low)} to ${number(high)}`);
  }
}
