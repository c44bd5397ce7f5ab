// Which pairs are marked: native contacts, and the highest of each map. Found when first asked for.

import type { Layer } from "./layers";
import { farEnough, rank, type Ranking } from "./scores";

/** What maps are judged by and which pairs count. */
export interface Ground {
  /** 1 contact, 0 none, 2 not resolved; row-major (L, L). */
  native: ArrayLike<number> | null;
  length: number;
  /** Each residue's chain. */
  chain: Uint8Array;
  separation: number;
}

/** Whether a map's pairs can be ranked: not while it fills, and not what they are judged by. */
export const isRanked = (layer: Layer): boolean => layer.quantity !== "norm" && layer.quantity !== "contact";

export class Contacts {
  private found: [number, number][] | null = null;
  private rankings = new WeakMap<Layer, Ranking>();

  /** What they are found in changed. */
  forget(): void {
    this.found = null;
    this.rankings = new WeakMap();
  }

  forgetRanking(layer: Layer): void {
    this.rankings.delete(layer);
  }

  /** Native contacts that count, as 0-based [row, column] below the diagonal. */
  rings({ native, length, chain, separation }: Ground): [number, number][] {
    if (this.found) return this.found;
    const rings: [number, number][] = [];
    for (let i = 0; i < length; i++) {
      for (let j = 0; j < i; j++) if (native?.[i * length + j] === 1 && farEnough(i, j, chain, separation)) rings.push([i, j]);
    }
    return (this.found = rings);
  }

  ranking(layer: Layer, { native, length, chain, separation }: Ground): Ranking {
    let found = this.rankings.get(layer);
    if (!found) this.rankings.set(layer, (found = rank(layer.values.values, native, length, chain, separation)));
    return found;
  }
}
