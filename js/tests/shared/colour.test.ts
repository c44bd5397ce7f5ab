import assert from "node:assert/strict";
import { test } from "node:test";
import { cssColour, distance, diverging, fromOklab, isDark, mix, pack, parseCss, parseHex, ramp, sequential, SEQUENTIAL_NAMES, toOklab, type Triple } from "../../src/shared/colour";

const LIGHT: Triple = [255, 255, 255];
const DARK: Triple = [20, 23, 28];

test("OKLab: published values and the way back", () => {
  const [L, a, b] = toOklab([255, 255, 255]);
  assert.ok(Math.abs(L - 1) < 1e-4 && Math.abs(a) < 1e-4 && Math.abs(b) < 1e-4);
  const red = toOklab([255, 0, 0]);
  [0.62796, 0.22486, 0.12585].forEach((value, k) => assert.ok(Math.abs(red[k]! - value) < 1e-4));
  for (const rgb of [[0, 0, 0], [12, 200, 77], [255, 1, 254], [128, 128, 128]] as Triple[]) assert.deepEqual(fromOklab(toOklab(rgb)), rgb);
});

for (const name of SEQUENTIAL_NAMES) {
  for (const dark of [false, true]) {
    const surface = dark ? DARK : LIGHT;
    test(`${name} on ${dark ? "dark" : "light"}: begins at the page, lightness goes one way, steps are even`, () => {
      const colours = sequential(name, surface, dark);
      assert.equal(colours.length, 256);
      assert.deepEqual(colours[0], surface);
      const labs = colours.map(toOklab);
      const steps: number[] = [];
      for (let k = 1; k < labs.length; k++) {
        const rise = labs[k]![0] - labs[k - 1]![0];
        // Rounding to 8 bits moves a colour by up to half a step of a channel.
        assert.ok(dark ? rise > -3e-3 : rise < 3e-3, `lightness turns at ${k}`);
        steps.push(distance(labs[k]!, labs[k - 1]!));
      }
      // Over sixteen steps rounding averages out.
      const strides = labs.slice(16).map((lab, k) => distance(lab, labs[k]!));
      const mean = strides.reduce((sum, value) => sum + value, 0) / strides.length;
      assert.ok(Math.min(...strides) > 0.6 * mean && Math.max(...strides) < 1.2 * mean);
      assert.ok(Math.abs(labs[255]![0] - labs[0]![0]) > 0.6, "too little contrast");
    });
  }
}

test("diverging: the page at zero, its two sides equally far from it", () => {
  for (const [surface, dark] of [[LIGHT, false], [DARK, true]] as [Triple, boolean][]) {
    const colours = diverging(surface, dark);
    assert.equal(colours.length, 255);
    assert.deepEqual(colours[127], surface);
    const middle = toOklab(surface);
    const [cold, warm] = [distance(toOklab(colours[0]!), middle), distance(toOklab(colours[254]!), middle)];
    assert.ok(Math.abs(cold - warm) < 0.2 * warm);
    assert.ok(toOklab(colours[20]!)[2] < 0 && toOklab(colours[234]!)[2] > 0, "blue below, warm above");
  }
});

test("ramp passes through its stops' ends and mix stays between", () => {
  const colours = ramp([LIGHT, [200, 0, 0], [0, 0, 0]], 9);
  assert.deepEqual(colours[0], LIGHT);
  assert.deepEqual(colours[8], [0, 0, 0]);
  assert.deepEqual(mix(LIGHT, DARK, 0), LIGHT);
  assert.deepEqual(mix(LIGHT, DARK, 1), DARK);
});

test("packed words are little-endian RGBA", () => {
  const bytes = new Uint8Array(pack([[1, 2, 3]], 1).buffer);
  assert.deepEqual([...bytes], [1, 2, 3, 255]);
});

test("colours of a page are read, others are not guessed", () => {
  assert.deepEqual(parseCss("rgb(1, 2, 3)"), [1, 2, 3]);
  assert.deepEqual(parseCss("rgba(1, 2, 3, 0.5)"), [1, 2, 3]);
  assert.deepEqual(parseCss(" #fff "), [255, 255, 255]);
  assert.deepEqual(parseHex("#0a0B0c"), [10, 11, 12]);
  assert.equal(parseCss("rgba(0, 0, 0, 0)"), null);
  assert.equal(parseCss("transparent"), null);
  assert.equal(cssColour([1, 2, 3]), "rgb(1, 2, 3)");
  assert.ok(isDark(DARK) && !isDark(LIGHT));
});
