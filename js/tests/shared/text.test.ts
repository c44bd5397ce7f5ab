import assert from "node:assert/strict";
import { test } from "node:test";
import type { SequenceInfo } from "../../src/shared/model";
import { duration, number, pairText, residueLabel, signed, statusText, tickText } from "../../src/shared/text";

const single: SequenceInfo = { name: "x", residues: "MKE", numbers: ["1", "24", "61A"], chains: [["A", 1, 3]] };
const complex: SequenceInfo = { name: "x", residues: "MKEMK", numbers: ["1", "2", "3", "1", "2"], chains: [["A", 1, 3], ["B", 4, 5]] };

test("residues bear their letter and number, and their chain where there are several", () => {
  assert.equal(residueLabel(single, 2), "K24");
  assert.equal(residueLabel(single, 3), "E61A");
  assert.equal(residueLabel(complex, 3), "A:E3");
  assert.equal(residueLabel(complex, 5), "B:K2");
});

test("a pair is read out", () => {
  assert.deepEqual(pairText(single, [2, 3], "score", 1.834), ["K24 – E61A", "score 1.83", "|i−j| 1"]);
  assert.deepEqual(pairText(complex, [2, 5], "norm", NaN), ["A:K2 – B:K2", "not computed yet", "between chains"]);
  assert.equal(pairText(single, [1, 2], "score", null)[1], "not computed yet");
});

test("a mutation is read out, a mask too", () => {
});

test("numbers", () => {
  assert.deepEqual([1.834, -0.5, 0, 123.4, 0.0001, NaN].map((value) => number(value)), ["1.83", "−0.50", "0.00", "123", "1.0e−4", "–"]);
  assert.equal(signed(0.421), "+0.42");
  assert.equal(signed(-1), "−1.00");
  assert.deepEqual([0, 5, 0.25, -0.1].map(tickText), ["0", "5", "0.25", "−0.1"]);
});

test("durations and states", () => {
  assert.deepEqual([0.2, 8.4, 200, 4800].map(duration), ["under 1 s", "8 s", "3 min", "80 min"]);
  assert.equal(duration(7260), "2 h 1 min");
  assert.equal(statusText("running", { rows_done: 3, rows_total: 53, seconds_left: 12 }), "3 of 53 rows · about 12 s left");
  assert.equal(statusText("running", { rows_done: 3, rows_total: 53, seconds_left: null }), "3 of 53 rows");
  assert.equal(statusText("running", { rows_done: 52, rows_total: 53, seconds_left: 0.3 }), "52 of 53 rows · under 1 s left");
  assert.equal(statusText("running", { rows_done: 53, rows_total: 53, seconds_left: 0 }), "making the contact map");
  assert.equal(statusText("queued", { message: "loading mini" }), "loading mini");
  assert.equal(statusText("done", { rows_done: 53, rows_total: 53, seconds: 9 }), "complete · 53 rows in 9 s");
  assert.equal(statusText("cancelled", { rows_done: 3, rows_total: 53 }), "stopped at 3 of 53 rows; they are kept");
});
