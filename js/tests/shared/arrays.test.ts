import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, decode, encode, patchRows, type ArrayPayload } from "../../src/shared/arrays";

test("what is encoded comes back, in every type", () => {
  for (const values of [Float32Array.of(1.5, -2, NaN, 3), Uint8Array.of(0, 1, 2, 255), Int32Array.of(-7, 0, 7, 2 ** 30)]) {
    const back = decode(encode(values, [2, 2]))!;
    assert.deepEqual(back.values, values);
    assert.deepEqual(back.shape, [2, 2]);
  }
  assert.equal(decode(null), null);
});

test("a buffer that starts at an odd byte is read all the same", () => {
  const bytes = new Uint8Array(1 + 8);
  new DataView(bytes.buffer).setFloat32(1, 0.25, true);
  new DataView(bytes.buffer).setFloat32(5, -8, true);
  const payload: ArrayPayload = { dtype: "float32", shape: [2], data: new DataView(bytes.buffer, 1) };
  assert.deepEqual([...decode(payload)!.values], [0.25, -8]);
});

test("bytes are found in a DataView, an ArrayBuffer and a Uint8Array", () => {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  assert.deepEqual([...bytesOf(new DataView(bytes.buffer, 1, 2))], [2, 3]);
  assert.deepEqual([...bytesOf(bytes.buffer as ArrayBuffer)], [1, 2, 3, 4]);
  assert.deepEqual([...bytesOf(bytes.subarray(2))], [3, 4]);
});

test("a buffer of the wrong length or type is refused", () => {
  const data = new DataView(new ArrayBuffer(12));
  assert.throws(() => decode({ dtype: "float32", shape: [2, 2], data }), RangeError);
  assert.throws(() => decode({ dtype: "float64" as "float32", shape: [3], data }), TypeError);
});

test("rows are written in place, wherever the buffer starts, and twice is as once", () => {
  const bytes = new Uint8Array(2 + 3 * 3 * 4);
  const payload: ArrayPayload = { dtype: "float32", shape: [3, 3], data: new DataView(bytes.buffer, 2) };
  const rows = Float32Array.of(7, 8, 9, 1, 2, 3);
  for (let twice = 0; twice < 2; twice++) patchRows(payload, [2, 0], new DataView(rows.buffer));
  assert.deepEqual([...decode(payload)!.values], [1, 2, 3, 0, 0, 0, 7, 8, 9]);
  assert.throws(() => patchRows(payload, [3], new DataView(rows.buffer, 0, 12)), RangeError);
  assert.throws(() => patchRows(payload, [0], new DataView(rows.buffer, 0, 8)), RangeError);
});
