import assert from "node:assert/strict";
import { test } from "node:test";
import { ContactHeadFrames, unpack, type FrameMessage } from "../../src/contact_map/contact_head_frames";
import type { Model } from "../../src/shared/model";

function follower(state: Record<string, unknown>): ContactHeadFrames {
  const model = { get: (name: string) => state[name] } as unknown as Model;
  return new ContactHeadFrames(model, () => 2);
}

const message = (serial: number): FrameMessage => ({ kind: "frame", serial, label: "contact head, masked", caption: "", quantity: "probability" });
const buffer = (value: number, offset = 0): DataView => {
  const bytes = new Uint8Array(offset + 6);
  const view = new DataView(bytes.buffer, offset, 6);
  for (let k = 0; k < 3; k++) view.setUint16(2 * k, Math.round(65535 * value), true);
  return view;
};

test("the upper triangle becomes a symmetric map", () => {
  const packed = new DataView(new ArrayBuffer(12));
  [0, 13107, 26214, 39321, 52428, 65535].forEach((value, k) => packed.setUint16(2 * k, value, true));
  const values = unpack(packed, 3)!;
  [0, 0.2, 0.4, 0.2, 0.6, 0.8, 0.4, 0.8, 1].forEach((expected, k) => assert.ok(Math.abs(values[k]! - expected) < 1e-6));
  assert.equal(unpack(packed, 4), null, "of another length");
});

test("frames are taken while somebody drags, newest last, wherever the buffer starts", () => {
  const state: Record<string, unknown> = { mask: null, mask_preview: [[1, 1]] };
  const frames = follower(state);
  frames.follow();
  assert.ok(frames.take(message(5), buffer(0.25)));
  assert.ok(!frames.take(message(4), buffer(0.5)), "an older frame");
  assert.ok(!frames.take(message(5), buffer(0.5)), "the same again");
  const near = (value: number): boolean => [...frames.frame!.map.values].every((other) => Math.abs(other - value) < 1e-5);
  assert.ok(near(0.25));
  assert.ok(frames.take(message(6), buffer(0.75, 1)));
  assert.ok(near(0.75));
  assert.ok(!frames.take(message(7), new DataView(new ArrayBuffer(12))), "of another size");
});

test("after the release the frame stays until the map's own values come", () => {
  const state: Record<string, unknown> = { mask: null, mask_preview: [[1, 1]] };
  const frames = follower(state);
  frames.follow();
  frames.take(message(1), buffer(1));
  frames.replaced();
  assert.ok(frames.frame, "values that come during the drag wait");
  state["mask"] = [[1, 1]];
  state["mask_preview"] = null;
  assert.equal(frames.follow(), false);
  assert.ok(frames.frame);
  assert.ok(!frames.take(message(2), buffer(1)), "too late");
  frames.replaced();
  assert.equal(frames.frame, null);
});

test("a drag that changes nothing gives the map back at once", () => {
  const state: Record<string, unknown> = { mask: [[2, 2]], mask_preview: [[1, 1]] };
  const frames = follower(state);
  frames.follow();
  frames.take(message(1), buffer(1));
  state["mask_preview"] = null;
  assert.equal(frames.follow(), true);
  assert.equal(frames.frame, null);
  assert.equal(frames.follow(), false);
});
