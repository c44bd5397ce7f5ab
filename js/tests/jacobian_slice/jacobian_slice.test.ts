import assert from "node:assert/strict";
import { test } from "node:test";
import { blockLayout } from "../../src/jacobian_slice/block_drawing";
import { chainCell, chainLayout } from "../../src/jacobian_slice/chain_drawing";
import { meanLine, pythonLine, type SliceChoice } from "../../src/jacobian_slice/python_line";
import { SliceSource } from "../../src/jacobian_slice/source";
import { captionText, cellText, meanText } from "../../src/jacobian_slice/text";
import {
  blockValues,
  chainLimit,
  displayOrder,
  largestMagnitude,
  letterPut,
  poolStrongest,
  profileValues,
  rearrange,
  refusal,
  rowValues,
  strongest,
} from "../../src/jacobian_slice/values";
import type { Model, SequenceInfo } from "../../src/shared/model";
import { Undo } from "../../src/shared/model";

const near = (found: ArrayLike<number>, expected: number[]): void => {
  assert.equal(found.length, expected.length);
  expected.forEach((value, k) => assert.ok(Math.abs(found[k]! - value) < 1e-6, `${found[k]} is not ${value} at ${k}`));
};

test("letters are put in the order asked for, the rest behind", () => {
  const letters = ["L", "A", "-", "G"];
  const order = displayOrder(letters, "AGL");
  assert.deepEqual(order.map((k) => letters[k]), ["A", "G", "L", "-"]);
  assert.deepEqual(displayOrder(letters, ""), [0, 1, 2, 3]);
  assert.deepEqual([...rearrange([0, 1, 2, 3, 4, 5, 6, 7], 4, [1, 0], order)], [5, 7, 4, 6, 1, 3, 0, 2]);
  assert.equal(largestMagnitude([0.5, -2, 1]), 2);
  assert.equal(largestMagnitude([0, 0]), 1);
});

test("a block's quantities, worked by hand", () => {
  const raw = [1, 2, 3, 5, 9, 4];
  near(blockValues(raw, 3, "raw", [0, 1]), raw);
  // Column means 3, 5.5, 3.5 are taken off, then row means −2 and 2.
  near(blockValues(raw, 3, "centred", [0, 1]), [0, -1.5, 1.5, 0, 1.5, -1.5]);
  // Against column 1; row 0 is the wild type's and is taken off too.
  near(blockValues(raw, 3, "epistasis", [-1, 1]), [-1, 0, 1, -4, 0, -5]);
  near(blockValues(raw, 3, "epistasis", [0, 1]), [0, 0, 0, -3, 0, -6]);
  // One row alone is not centred over rows.
  near(blockValues([1, 2, 6], 3, "centred", [-1, 1]), [-2, -1, 3]);
});

test("a row's quantities are those of its blocks", () => {
  // Two residues, two letters read; rows put in: (1, 2 | 3, 7) and (0, 4 | 5, 5).
  const [first, second] = [[1, 2, 3, 7], [0, 4, 5, 5]];
  const mean = first.map((value, k) => (value + second[k]!) / 2);
  near(rowValues([...first, ...mean], [2, 2, 2], "centred", [0, 1], 2), [
    ...blockValues([1, 2, 0, 4], 2, "centred", [-1, 0]).slice(0, 2),
    ...blockValues([3, 7, 5, 5], 2, "centred", [-1, 1]).slice(0, 2),
  ]);
  near(rowValues([...first, ...mean], [2, 2, 2], "epistasis", [0, 1], 2), [0, 1, -4, 0]);
  near(rowValues([...first, ...mean, ...second], [3, 2, 2], "epistasis", [0, 1], 2), [0, -3, -4, 0]);
  assert.ok(Number.isNaN(rowValues([...first, ...mean], [2, 2, 2], "epistasis", [-1, 1], 2)[0]!));
  near(rowValues([...first, ...first], [2, 2, 2], "centred", [0, 1], 1), [-0.5, 0.5, -2, 2]);
});

test("a profile is one letter's column, or the norm with the mean taken off", () => {
  const values = Float32Array.from([1, 2, 6, 0, 3, 3]);
  near(profileValues(values, 3, 1), [2, 3]);
  near(profileValues(values, 3, -1), [Math.sqrt(4 + 1 + 9), Math.sqrt(4 + 1 + 1)]);
});

test("letters that a residue cannot have do not count", () => {
  // Two residues, each with two of three letters.
  const planes = [1, 3, NaN, NaN, 2, 6, 0, 0, NaN, NaN, 1, 1];
  near(rowValues(planes, [2, 2, 3], "centred", [0, 1], 2).filter((value) => !Number.isNaN(value)), [-1, 1, -2, 2]);
  near(profileValues(Float32Array.from(planes.slice(0, 6)), 3, -1), [Math.SQRT2, Math.sqrt(8)]);
});

test("the substituted residue itself sets no scale and is not the strongest", () => {
  const values = [1, -2, 50, 60, 3, NaN];
  assert.equal(chainLimit(values, 2, 1, 100), 3);
  assert.equal(chainLimit(values, 2, 1, 50), 2);
  assert.equal(chainLimit([0, 0, 9, 9], 2, 1, 99), 1);
  assert.equal(strongest(values, 2, 1), 4);
  assert.equal(strongest(values, 2, -1), 3);
  assert.equal(strongest([NaN], 1, -1), -1);
});

test("where residues are narrower than pixels the strongest is kept, with its sign", () => {
  const pooled = poolStrongest([1, -3, 2, 0, 0, 5, NaN, 4], 1, 0, 8, 4);
  near(pooled, [-3, 2, 5, 4]);
  const lines = poolStrongest([1, 10, -2, 20, 3, -30, 4, 40], 2, 0, 4, 2);
  near(lines, [-2, 4, 20, 40]);
});

test("the fast variant has one letter to put in, and no epistasis", () => {
  assert.equal(letterPut("K", ["<mask>"]), "<mask>");
  assert.equal(letterPut("K", ["A", "K"]), "K");
  assert.match(refusal("epistasis", ["<mask>"], ["A"], "A"), /fast variant/);
  assert.match(refusal("epistasis", ["A"], ["A"], "AX"), /letter X /);
  assert.equal(refusal("epistasis", ["A", "C"], ["A", "C"], "AC"), "");
  assert.equal(refusal("centred", ["<mask>"], ["A"], "X"), "");
});

const choice = (changes: Partial<SliceChoice>): SliceChoice => ({ form: "block", pair: [24, 61], letterIn: "K", letterOut: "", quantity: "raw", lettersIn: null, lettersOut: null, ...changes });

test("the slice in Python", () => {
  assert.equal(pythonLine(choice({})), "J.sel(pos_in=24, pos_out=61)");
  assert.equal(pythonLine(choice({ form: "profile", letterOut: "E" })), 'J.sel(pos_in=24, aa_in="K", aa_out="E")');
  assert.equal(pythonLine(choice({ form: "profile" })), 'J.catjac.profile(24, "K")');
  assert.equal(pythonLine(choice({ form: "matrix", letterIn: "<mask>", lettersOut: ["A", "-"] })), 'J.sel(pos_in=24, aa_in="<mask>", aa_out=list("A-"))');
  assert.equal(
    pythonLine(choice({ quantity: "epistasis", lettersIn: ["A", "C"], lettersOut: ["C", "<x>"] })),
    'catjac.epistasis(J.sel(pos_in=[24])).sel(pos_in=24, pos_out=61, aa_in=list("AC"), aa_out=["C", "<x>"])',
  );
  assert.equal(pythonLine(choice({ form: "profile", quantity: "centred" })), 'catjac.centre(J.sel(pos_in=[24]), ["aa_in", "aa_out"]).catjac.profile(24, "K")');
});

test("a mean block in Python and in words", () => {
  const mean = '.where(J.pos_in != J.pos_out).mean(["pos_in", "pos_out"])';
  assert.equal(meanLine([[3, 5], [9, 9]], choice({})), `J.sel(pos_in=slice(3, 5), pos_out=slice(9, 9))${mean}`);
  assert.equal(
    meanLine([[3, 5], [4, 9]], choice({ quantity: "centred", lettersOut: ["A", "C"] })),
    `catjac.centre(J.sel(pos_in=slice(3, 5), pos_out=slice(4, 9)), ["aa_in", "aa_out"])${mean}.sel(aa_out=list("AC"))`,
  );
  assert.equal(meanText({ letterIn: "A", letterOut: "D", value: 0.42, quantity: "raw" }), "A → logit of D: mean +0.42");
  assert.equal(meanText({ letterIn: "<mask>", letterOut: "D", value: -1, quantity: "centred" }), "masked → centred logit of D: mean −1.00");
});

test("a cell is said in words", () => {
  const sequence: SequenceInfo = { name: "", residues: "MKE", numbers: ["1", "24", "61"], chains: [["A", 1, 2], ["B", 3, 3]] };
  const cell = { pair: [2, 3] as [number, number], letterIn: "A", letterOut: "D", value: 0.834, quantity: "raw" as const, masked: false };
  assert.equal(cellText(sequence, cell), "A:K24A → logit of D at B:E61: +0.83");
  assert.equal(cellText(sequence, { ...cell, letterOut: "" }), "A:K24A → B:E61: 0.83 logits over all letters");
  assert.equal(cellText(sequence, { ...cell, quantity: "epistasis", masked: true }), "A:K24A → log-odds of D over E at B:E61: +0.83 (masked)");
  assert.equal(cellText(sequence, { ...cell, letterIn: "<mask>", pair: [2, 2], value: -0.5 }), "A:K24 masked → logit of D at A:K24: −0.50 (the residue itself)");
  assert.match(captionText("block", "centred", "", false, ""), /both letter axes/);
  assert.match(captionText("profile", "raw", "", true, ""), /masked − wild type: norm/);
  assert.match(captionText("block", "raw", "", false, "centred"), /is centred/);
});

test("pointing along the chain", () => {
  const layout = chainLayout(350, 20);
  const sight = { x: 0, y: 0, span: 50 };
  assert.deepEqual(chainCell(layout, sight, 50, layout.left + 1, layout.top + 1), [0, 0]);
  assert.deepEqual(chainCell(layout, sight, 50, layout.left + layout.width - 1, layout.top + layout.height + 5), [49, -1]);
  assert.equal(chainCell(layout, sight, 50, layout.left - 1, 20), null);
});

test("a block fits the width it is given", () => {
  for (const width of [250, 320, 400]) assert.ok(blockLayout(width, 20, 20).width <= width);
});

function wired(state: Record<string, unknown>): { model: Model; sent: Record<string, unknown>[]; tell(name: string, ...values: unknown[]): void } {
  const listeners: [string, (...values: never[]) => void][] = [];
  const sent: Record<string, unknown>[] = [];
  const model: Model = {
    get: (<T>(name: string) => state[name] as T) as Model["get"],
    set: (name, value) => (state[name] = value),
    save_changes: () => undefined,
    on: (name, callback) => listeners.push([name, callback]),
    off: () => undefined,
    send: (content) => sent.push(content as Record<string, unknown>),
  };
  return { model, sent, tell: (name, ...values) => listeners.forEach(([to, callback]) => to === name && callback(...(values as never[]))) };
}

test("one question at a time; a late answer to an earlier one is dropped", () => {
  const { model, sent, tell } = wired({});
  let changes = 0;
  const source = new SliceSource(model, () => changes++);
  source.listen(new Undo());
  const wanted = (position: number) => ({ kind: "row" as const, position, letter: "K" });
  const answer = (position: number, status = "ready"): void =>
    tell("msg:custom", { kind: "row", id: sent.find((question) => question["pos_in"] === position)!["id"], pos_in: position, aa_in: "K", status, note: "", letters_in: ["K"], letters_out: ["A"], shape: null }, []);
  source.ask(wanted(5));
  source.ask(wanted(5));
  source.ask(wanted(6));
  assert.deepEqual(sent.map((question) => question["pos_in"]), [5, 6]);
  answer(5);
  assert.equal(source.get(wanted(5)), null);
  answer(6, "waiting");
  assert.equal(source.get(wanted(6))!.status, "waiting");
  assert.equal(changes, 1);
  // What is not there yet is asked for again; what is there is not.
  source.ask(wanted(6));
  assert.equal(sent.length, 3);
  tell("msg:custom", { kind: "row", id: sent[2]!["id"], pos_in: 6, aa_in: "K", status: "ready", note: "", letters_in: ["K"], letters_out: ["A"], shape: null }, []);
  source.ask(wanted(6));
  assert.equal(sent.length, 3);
  source.forget();
  assert.equal(source.get(wanted(6)), null);
});

test("what comes by trait counts, and takes the place of what was there", () => {
  const state: Record<string, unknown> = { block: null, row: null };
  const { model, tell } = wired(state);
  const source = new SliceSource(model, () => undefined);
  source.listen(new Undo());
  const block = (status: string) => ({ pair: [3, 9], status, note: "", letters_in: ["K"], letters_out: ["A"], values: null });
  for (const status of ["ready", "waiting"]) {
    state["block"] = block(status);
    tell("change:block");
    assert.equal(source.get({ kind: "block", pair: [3, 9] })!.status, status);
  }
});
