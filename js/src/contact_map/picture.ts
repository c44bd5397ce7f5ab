// The map's own picture, kept off the screen: shades of the maps in both triangles, coloured and scaled when drawn.

import type { Theme } from "../shared/canvas";
import { mix, pack, type Triple } from "../shared/colour";
import type { Sight } from "../shared/geometry";
import type { Layer } from "./layers";
import { colourLimits, countedValues, type Limits } from "./scores";
import { colourShades, palette, poolShades, SHADES, shadeRows, type Side } from "./shades";

/** A map in the side of the picture that it fills, with its colour scale. */
export interface Placed {
  layer: Layer;
  side: Side;
  limits: Limits;
}

/** How much colour a pair keeps that does not count. */
const DIM = 0.3;
/** Limits that drift by less, while rows come in, are let be, so that the picture does not flicker. */
const DRIFT = 0.08;

const FULL: Limits = { low: 0, high: 1 };

export class MapPicture {
  placed: Placed[] = [];
  private readonly image = document.createElement("canvas");
  private shades = new Uint16Array(0);
  private pixels: ImageData | null = null;
  private colours: Uint32Array = new Uint32Array(SHADES);
  private length = 0;
  private chain: Uint8Array = new Uint8Array(0);
  private separation = 0;

  setColours(colours: Triple[], theme: Theme): void {
    this.colours = palette(pack(colours), pack(colours.map((colour) => mix(theme.surface, colour, DIM))));
    this.colour(0, this.length);
  }

  /** Lay maps into the triangles; one map, given twice, fills both. */
  setLayers(upper: Layer | null, lower: Layer | null, length: number, chain: Uint8Array): void {
    if (this.length !== length) {
      this.length = length;
      this.shades = new Uint16Array(length * length);
      this.image.width = this.image.height = length;
      this.pixels = new ImageData(length, length);
    } else this.shades.fill(0);
    this.chain = chain;
    const sides: [Layer | null, Side][] = upper === lower ? [[upper, "both"]] : [[upper, "upper"], [lower, "lower"]];
    this.placed = sides.flatMap(([layer, side]) => (layer ? [{ layer, side, limits: FULL }] : []));
  }

  /** Find the colour limits anew and shade everything; with `drifting` only where they moved by much. */
  rescale(separation: number, percentile: number, drifting = false): boolean {
    this.separation = separation;
    let moved = !drifting;
    for (const one of this.placed) {
      const limits = this.limitsOf(one.layer, percentile);
      const drift = Math.abs(limits.high - one.limits.high) + Math.abs(limits.low - one.limits.low);
      if (drifting && drift < DRIFT * (one.limits.high - one.limits.low)) continue;
      one.limits = limits;
      moved = true;
    }
    if (moved) this.shade(0, this.length);
    return moved;
  }

  private limitsOf({ values, quantity }: Layer, percentile: number): Limits {
    // Probabilities under different masks are compared with each other, so their scale stays.
    if (quantity === "probability" || quantity === "contact") return FULL;
    return colourLimits(countedValues(values.values, this.length, this.chain, this.separation), percentile, quantity !== "norm");
  }

  /** Shade the rows `from` … `to` (excluded) of what is in the triangles. */
  shade(from: number, to: number): void {
    for (const { layer, side, limits } of this.placed) {
      shadeRows(this.shades, layer.values.values, this.length, from, to, side, { ...limits, chain: this.chain, separation: this.separation });
    }
    this.colour(from, to);
  }

  private colour(from: number, to: number): void {
    if (!this.pixels || to <= from) return;
    colourShades(new Uint32Array(this.pixels.data.buffer), this.shades, this.colours, from * this.length, to * this.length);
    this.image.getContext("2d")!.putImageData(this.pixels, 0, 0, 0, from, this.length, to - from);
  }

  /** Draw the part in sight as a square of `size` CSS pixels. */
  draw(context: CanvasRenderingContext2D, sight: Sight, left: number, top: number, size: number): void {
    if (!this.placed.length) return;
    context.imageSmoothingEnabled = false;
    const target = Math.round(size * (window.devicePixelRatio || 1));
    if (sight.span <= target) return context.drawImage(this.image, sight.x, sight.y, sight.span, sight.span, left, top, size, size);
    const pooled = poolShades(this.shades, this.length, sight.x, sight.y, sight.span, target);
    const pixels = new ImageData(target, target);
    colourShades(new Uint32Array(pixels.data.buffer), pooled, this.colours, 0, pooled.length);
    const small = document.createElement("canvas");
    small.width = small.height = target;
    small.getContext("2d")!.putImageData(pixels, 0, 0);
    context.drawImage(small, left, top, size, size);
  }
}
