import assert from "node:assert/strict";
import { test } from "node:test";
import { countVisible, drawOrder, flanked, fragmentAt, hidden, inverted, maskOf, replaced, same, scattered, shifted, showsAll, shown, tidy, visibleOf, without, type Fragment } from "../../src/shared/fragments";
import orders from "./random_orders.json";

const L = 20;

/** The same as a list of booleans, residue by residue. */
const seen = (fragments: readonly (readonly [number, number])[]): boolean[] => {
  const flags = new Array<boolean>(L).fill(false);
  for (const [first, last] of fragments) for (let p = first; p <= last; p++) if (p >= 1 && p <= L) flags[p - 1] = true;
  return flags;
};

/** Numbers for many cases, the same every time. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (state * 48271) % 2147483647;
    return state % sides;
  };
}

const someFragments = (roll: (sides: number) => number): Fragment[] =>
  tidy(
    Array.from({ length: roll(4) }, (): Fragment => {
      const first = 1 + roll(L);
      return [first, Math.min(L, first + roll(6))];
    }),
    L,
  );

test("fragments are put in order and joined; residue by residue nothing changes", () => {
  assert.deepEqual(tidy([[8, 9], [1, 3], [4, 5], [12, 40], [7, 6]], L), [[1, 5], [8, 9], [12, 20]]);
  const roll = dice(7);
  for (let k = 0; k < 300; k++) {
    const raw = Array.from({ length: roll(5) }, (): Fragment => {
      const first = roll(L + 4) - 1;
      return [first, first + roll(7)];
    });
    const found = tidy(raw, L);
    assert.deepEqual(seen(found), seen(raw));
    for (let n = 1; n < found.length; n++) assert.ok(found[n]![0] > found[n - 1]![1] + 1);
  }
});

test("a mask of nothing is null, and back", () => {
  assert.deepEqual(visibleOf(null, L), [[1, L]]);
  assert.deepEqual(visibleOf([], L), []);
  assert.equal(maskOf([[1, L]], L), null);
  assert.deepEqual(maskOf([], L), []);
  assert.ok(showsAll(visibleOf(undefined, L), L) && !showsAll([], L));
});

test("a fragment moves whole to the ends of the sequence and keeps its size", () => {
  assert.deepEqual(shifted([5, 9], "whole", 3, L), [8, 12]);
  assert.deepEqual(shifted([5, 9], "whole", 99, L), [16, 20]);
  assert.deepEqual(shifted([5, 9], "whole", -99, L), [1, 5]);
});

test("an end moves alone and never past the other", () => {
  assert.deepEqual(shifted([5, 9], "start", -2, L), [3, 9]);
  assert.deepEqual(shifted([5, 9], "start", 9, L), [9, 9]);
  assert.deepEqual(shifted([5, 9], "end", 99, L), [5, 20]);
  assert.deepEqual(shifted([5, 9], "end", -99, L), [5, 5]);
});

test("a fragment that meets another becomes one with it, and leaves it again", () => {
  const base: Fragment[] = [[2, 4], [8, 10]];
  assert.deepEqual(replaced(base, 0, shifted(base[0]!, "whole", 3, L), L), [[5, 10]]);
  assert.deepEqual(replaced(base, 0, shifted(base[0]!, "whole", 10, L), L), [[8, 10], [12, 14]]);
  assert.deepEqual(without(base, 0), [[8, 10]]);
  assert.equal(fragmentAt(base, 9), 1);
  assert.equal(fragmentAt(base, 5), -1);
  assert.ok(same(base, [[2, 4], [8, 10]]) && !same(base, [[2, 4]]));
});

test("showing, masking and inverting, residue by residue", () => {
  const roll = dice(11);
  for (let k = 0; k < 300; k++) {
    const base = someFragments(roll);
    const [a, b] = [1 + roll(L), 1 + roll(L)];
    const stretch = seen([[Math.min(a, b), Math.max(a, b)]]);
    assert.deepEqual(seen(shown(base, a, b, L)), seen(base).map((flag, p) => flag || stretch[p]!));
    assert.deepEqual(seen(hidden(base, a, b, L)), seen(base).map((flag, p) => flag && !stretch[p]!));
    assert.deepEqual(seen(inverted(base, L)), seen(base).map((flag) => !flag));
    assert.deepEqual(inverted(inverted(base, L), L), base);
    assert.equal(countVisible(base), seen(base).filter(Boolean).length);
  }
});

test("flanks: outward, inward, both, clipped", () => {
  const pair: Fragment[] = [[6, 8], [14, 15]];
  assert.deepEqual(flanked(pair, 2, "outward", [[1, L]]), [[4, 8], [14, 17]]);
  assert.deepEqual(flanked(pair, 2, "inward", [[1, L]]), [[6, 10], [12, 15]]);
  assert.deepEqual(flanked(pair, 2, "both", [[1, L]]), [[4, 10], [12, 17]]);
  assert.deepEqual(flanked(pair, 3, "inward", [[1, L]]), [[6, 15]]);
  assert.deepEqual(flanked(pair, 99, "outward", [[1, L]]), [[1, 8], [14, 20]]);
  assert.deepEqual(flanked([[6, 8]], 2, "outward", [[1, L]]), [[4, 10]]);
  assert.deepEqual(flanked([[6, 8]], 2, "inward", [[1, L]]), [[6, 8]]);
  assert.deepEqual(flanked([[2, 3], [8, 9], [14, 15]], 1, "outward", [[1, L]]), [[1, 3], [8, 9], [14, 16]]);
  assert.deepEqual(flanked([[2, 3], [8, 9], [14, 15]], 1, "inward", [[1, L]]), [[2, 4], [7, 10], [13, 15]]);
  assert.deepEqual(flanked(pair, 0, "both", [[1, L]]), pair);
});

test("flanks end where their chain does", () => {
  const chains: [number, number][] = [[1, 9], [10, 20]];
  assert.deepEqual(flanked([[6, 8]], 5, "outward", chains), [[1, 9]]);
  assert.deepEqual(flanked([[6, 8], [12, 13]], 5, "inward", chains), [[6, 13]]);
  assert.deepEqual(flanked([[2, 3], [15, 16]], 20, "inward", chains), [[2, 16]]);
  assert.deepEqual(flanked([[12, 13]], 5, "both", chains), [[10, 18]]);
  assert.deepEqual(flanked([[8, 11]], 5, "both", chains), [[3, 16]]);
});

test("random residues: counted, nested, the same for the same seed", () => {
  const base: Fragment[] = [[6, 8]];
  let before = seen(base);
  for (let count = 0; count <= L - 3; count++) {
    const now = seen(scattered(base, count, 5, L));
    assert.equal(now.filter(Boolean).length, 3 + count);
    assert.ok(before.every((flag, p) => !flag || now[p]));
    before = now;
  }
  assert.ok(before.every(Boolean));
  assert.deepEqual(scattered(base, 99, 5, L), [[1, L]]);
  assert.deepEqual(scattered(base, 7, 5, L), scattered(base, 7, 5, L));
  assert.notDeepEqual(scattered(base, 7, 5, L), scattered(base, 7, 6, L));
});

test("random residues come in the order in which Python draws them", () => {
  for (const { seed, fragments, length, order } of orders as unknown as { seed: number; fragments: Fragment[]; length: number; order: number[] }[]) {
    assert.deepEqual(drawOrder(fragments, seed, length), order);
  }
});
