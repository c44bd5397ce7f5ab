import assert from "node:assert/strict";
import { test } from "node:test";
import { choices, nativeMap, readLayer, readShown } from "../../src/contact_map/layers";
import { encode } from "../../src/shared/arrays";
import { sequenceOf, twoNumberings, type Model } from "../../src/shared/model";

const model = (state: Record<string, unknown>): Model => ({ get: (name: string) => state[name] }) as unknown as Model;
const values = (value: number, length = 2): ReturnType<typeof encode> => encode(new Float32Array(length * length).fill(value), [length, length]);

test("maps are chosen by name; what has no values is not offered, unless the kernel makes it", () => {
  const layer = { label: "Potts <b>", caption: "", quantity: "score", units: "", values: values(3) };
  const state = { label: "Jacobian", caption: "", quantity: "score", values: values(1), head: null, former: { ...layer, label: "Jacobian, the mask before" }, offered: ["head"], added: [{ ...layer, name: "Potts" }], native: encode(Uint8Array.of(0, 1, 2, 0), [2, 2]) };
  const one = model(state);
  assert.deepEqual(choices(one), [
    { name: "map", label: "Jacobian" },
    { name: "head", label: "contact head" },
    { name: "former", label: "Jacobian, the mask before" },
    { name: "native", label: "native contacts" },
    { name: "Potts", label: "Potts <b>" },
  ]);
  assert.equal(readLayer(one, "map", 2)!.values.values[0], 1);
  assert.equal(readLayer(one, "head", 2), null);
  assert.equal(readLayer(one, "Potts", 2)!.values.values[0], 3);
  assert.equal(readLayer(one, "Potts", 2), readLayer(one, "Potts", 2), "read once");
  assert.equal(readLayer(one, "Potts", 3), null, "of another sequence");
  assert.equal(readLayer(one, "no such", 2), null);
  assert.deepEqual([readLayer(one, "map", 2)!.underMask, readLayer(one, "former", 2)!.underMask], [true, false]);
  assert.deepEqual([...nativeMap({ values: Uint8Array.of(0, 1, 2), shape: [3] }).values], [0, 1, NaN]);
});

test("the triangles' maps from whatever the trait holds", () => {
  assert.deepEqual(readShown(["native", "head"]), ["native", "head"]);
  for (const bad of [null, undefined, "map", ["a"], [1, 2]]) assert.deepEqual(readShown(bad), ["map", "map"]);
});

test("residues are called by position or as the structure calls them", () => {
  const sequence = { name: "", residues: "MKE", numbers: ["7", "8", "8A"], chains: [["A", 1, 3]] };
  const state: Record<string, unknown> = { sequence, numbering: "structure" };
  assert.deepEqual(sequenceOf(model(state)).numbers, ["7", "8", "8A"]);
  assert.ok(twoNumberings(model(state)));
  state["numbering"] = "position";
  assert.deepEqual(sequenceOf(model(state)).numbers, ["1", "2", "3"]);
  state["structure_sequence"] = { ...sequence, numbers: ["52", "[2]", "52A"], chains: [["H", 1, 3]] };
  assert.deepEqual(sequenceOf(model(state)).numbers, ["1", "2", "3"]);
  state["numbering"] = "structure";
  assert.deepEqual(sequenceOf(model(state)).numbers, ["52", "[2]", "52A"]);
  assert.deepEqual(sequenceOf(model(state)).chains[0]![0], "H");
  assert.ok(!twoNumberings(model({ sequence: { ...sequence, numbers: ["1", "2", "3"] } })));
});
