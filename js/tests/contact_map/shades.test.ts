import assert from "node:assert/strict";
import { test } from "node:test";
import { colourShades, palette, poolShades, shadeRows, SHADES, type Scale } from "../../src/contact_map/shades";

const one = (length: number): Uint8Array => new Uint8Array(length);
const scale = (chain: Uint8Array, separation: number): Scale => ({ low: 0, high: 255, chain, separation });

test("shades: higher where a pair counts, 0 where nothing is known", () => {
  const shades = new Uint16Array(9);
  shadeRows(shades, Float32Array.of(5, 5, 300, 5, 5, 5, NaN, -1, 5), 3, 0, 3, "both", scale(one(3), 2));
  assert.deepEqual([...shades], [6, 6, 512, 6, 6, 6, 0, 1, 6]);
  const before = [...shades];
  shadeRows(shades, new Float32Array(9), 3, 1, 2, "both", scale(one(3), 2));
  assert.deepEqual([...shades.slice(0, 3)], before.slice(0, 3));
  assert.deepEqual([...shades.slice(3, 6)], [1, 1, 1]);
});

test("residues of two chains are never too near", () => {
  const shades = new Uint16Array(4);
  shadeRows(shades, new Float32Array(4), 2, 0, 2, "both", scale(Uint8Array.of(0, 1), 9));
  assert.deepEqual([...shades], [1, 257, 257, 1]);
});

test("two maps fill one picture: the upper one with the diagonal", () => {
  const shades = new Uint16Array(9);
  shadeRows(shades, new Float32Array(9).fill(10), 3, 0, 3, "upper", scale(one(3), 9));
  shadeRows(shades, new Float32Array(9).fill(20), 3, 0, 3, "lower", scale(one(3), 9));
  assert.deepEqual([...shades], [11, 11, 11, 21, 11, 11, 21, 21, 11]);
});

test("each shade has a colour: none, dim, bright", () => {
  const bright = Uint32Array.from({ length: 256 }, (_, k) => 1000 + k);
  const dim = Uint32Array.from({ length: 256 }, (_, k) => 5000 + k);
  const colours = palette(bright, dim);
  assert.equal(colours.length, SHADES);
  const pixels = new Uint32Array(4).fill(7);
  colourShades(pixels, Uint16Array.of(0, 1, 257, 512), colours, 0, 3);
  assert.deepEqual([...pixels], [0, 5000, 1000, 7]);
});

test("pooling keeps the highest of each patch, and nothing only where all is nothing", () => {
  const length = 8;
  const shades = Uint16Array.from({ length: 64 }, (_, at) => at);
  assert.deepEqual([...poolShades(shades, length, 0, 0, 8, 2)], [27, 31, 59, 63]);
  shades.fill(0, 0, 32);
  shades[3] = 2;
  assert.deepEqual([...poolShades(shades, length, 0, 0, 8, 2)].slice(0, 2), [2, 0]);
});
