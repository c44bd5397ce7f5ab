import assert from "node:assert/strict";
import { test } from "node:test";
import { sharedState, throttledSave, Undo, type Model } from "../../src/shared/model";
import { movePair, readPair, samePair } from "../../src/shared/selection";

test("only two positions within the sequence are a pair", () => {
  assert.deepEqual(readPair([1, 53], 53), [1, 53]);
  for (const bad of [null, undefined, [1], [0, 3], [1, 54], [1.5, 2], ["1", 2], "12", { 0: 1, 1: 2 }]) assert.equal(readPair(bad, 53), null);
});

test("arrows move one residue, or ten, and stop at the ends", () => {
  assert.deepEqual(movePair([5, 9], "ArrowUp", false, 20), [4, 9]);
  assert.deepEqual(movePair([5, 9], "ArrowDown", false, 20), [6, 9]);
  assert.deepEqual(movePair([5, 9], "ArrowRight", true, 20), [5, 19]);
  assert.deepEqual(movePair([5, 9], "ArrowLeft", true, 20), [5, 1]);
  assert.deepEqual(movePair([20, 20], "ArrowRight", false, 20), [20, 20]);
  assert.deepEqual(movePair(null, "ArrowRight", false, 20), [1, 2]);
  assert.equal(movePair([5, 9], "a", false, 20), null);
});

test("pairs are compared by value", () => {
  assert.ok(samePair([1, 2], [1, 2]) && samePair(null, null));
  assert.ok(!samePair([1, 2], [2, 1]) && !samePair(null, [1, 2]));
});

function modelOf(state: Record<string, unknown>): Model & { saved: unknown[] } {
  const saved: unknown[] = [];
  return {
    saved,
    get: (<T>(name: string) => state[name] as T) as Model["get"],
    set: (name, value) => (state[name] = value),
    save_changes: () => saved.push({ ...state }),
    on: () => undefined,
    off: () => undefined,
    send: () => undefined,
  };
}

test("a view follows the widget that `state` names, else itself", async () => {
  const other = modelOf({});
  const alone = modelOf({ state: null });
  assert.equal(await sharedState(alone), alone);
  const linked = { ...modelOf({ state: "IPY_MODEL_abc" }), widget_manager: { get_model: async (id: string) => (id === "abc" ? other : alone) } };
  assert.equal(await sharedState(linked), other);
});

test("a trait is set at once; of many saves the first and the last go", async () => {
  const model = modelOf({});
  const throttle = throttledSave(model, 20);
  for (let k = 0; k < 10; k++) throttle.set("hover", k);
  assert.equal(model.get("hover"), 9);
  assert.deepEqual(model.saved, [{ hover: 0 }]);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(model.saved, [{ hover: 0 }, { hover: 9 }]);
  throttle.set("hover", 10);
  throttle.set("hover", 11);
  throttle.stop();
  assert.deepEqual(model.saved.at(-1), { hover: 11 });
});

test("undo runs once, last first", () => {
  const done: number[] = [];
  const undo = new Undo();
  undo.add(() => done.push(1));
  undo.add(() => done.push(2));
  undo.run();
  undo.run();
  assert.deepEqual(done, [2, 1]);
});
