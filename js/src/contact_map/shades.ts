// A map as shades, from which its picture is coloured: two maps may lie in the two triangles of one array of shades.

import type { Limits } from "./scores";

/** A shade is 0 where nothing is known, 1 … 256 for pairs that do not count, 257 … 512 for those that do. */
export type Shades = Uint16Array;

export const SHADES = 513;

/** Which part of a map: above the diagonal (with it), below it, or all. */
export type Side = "upper" | "lower" | "both";

export interface Scale extends Limits {
  chain: Uint8Array;
  separation: number;
}

/** Write one side of the rows `from` … `to` (excluded) of an L × L map as shades. */
export function shadeRows(shades: Shades, values: ArrayLike<number>, length: number, from: number, to: number, side: Side, scale: Scale): void {
  const factor = 255 / (scale.high - scale.low);
  const { chain, separation, low } = scale;
  for (let i = from; i < to; i++) {
    const own = chain[i];
    const last = side === "lower" ? i : length;
    for (let j = side === "upper" ? i : 0; j < last; j++) {
      const value = values[i * length + j]!;
      if (value !== value) {
        shades[i * length + j] = 0;
        continue;
      }
      const at = (value - low) * factor;
      const index = at <= 0 ? 1 : at >= 255 ? 256 : (at + 1.5) | 0;
      // `farEnough`, written out: this runs once a pixel.
      const apart = i < j ? j - i : i - j;
      shades[i * length + j] = apart > 0 && (apart >= separation || chain[j] !== own) ? index + 256 : index;
    }
  }
}

/** The colour of each shade: nothing known is transparent. */
export function palette(bright: Uint32Array, dim: Uint32Array): Uint32Array {
  const colours = new Uint32Array(SHADES);
  colours.set(dim, 1);
  colours.set(bright, 257);
  return colours;
}

export function colourShades(pixels: Uint32Array, shades: Shades, colours: Uint32Array, from: number, to: number): void {
  for (let at = from; at < to; at++) pixels[at] = colours[shades[at]!]!;
}

/**
 * The highest shade under each of `target` × `target` pixels of the part in sight: where cells are smaller than
 * pixels a contact must not fall between them.
 */
export function poolShades(shades: Shades, length: number, x: number, y: number, span: number, target: number): Shades {
  const pooled = new Uint16Array(target * target);
  const first = (start: number, k: number): number => Math.min(length, Math.floor(start + (k * span) / target));
  for (let r = 0; r < target; r++) {
    const top = first(y, r);
    const bottom = Math.max(top + 1, first(y, r + 1));
    for (let c = 0; c < target; c++) {
      const left = first(x, c);
      const right = Math.max(left + 1, first(x, c + 1));
      let best = 0;
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) {
          const value = shades[i * length + j]!;
          if (value > best) best = value;
        }
      }
      pooled[r * target + c] = best;
    }
  }
  return pooled;
}
