// While a mask is dragged the kernel sends frames: the contact head's map under the mask of that moment. They lie over
// the map's own values until those are replaced, and are kept nowhere.

import { bytesOf, type LabelledArray } from "../shared/arrays";
import { same, visibleOf, type Fragment } from "../shared/fragments";
import type { Model } from "../shared/model";

export interface FrameMessage {
  kind: "frame";
  serial: number;
  label: string;
  caption: string;
  quantity: string;
}

export interface Frame extends FrameMessage {
  map: LabelledArray;
}

/** The largest number that stands for a probability: 1. */
const ONE = 65535;

/** A symmetric map from its upper triangle, row by row with the diagonal, as little-endian uint16 (`packed` in Python). */
export function unpack(buffer: DataView, length: number): Float32Array | null {
  const bytes = bytesOf(buffer);
  if (bytes.byteLength !== length * (length + 1)) return null;
  const aligned = bytes.byteOffset % 2 ? bytes.slice() : bytes;
  const packed = new Uint16Array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / 2);
  const values = new Float32Array(length * length);
  let at = 0;
  for (let i = 0; i < length; i++) for (let j = i; j < length; j++) values[i * length + j] = values[j * length + i] = packed[at++]! / ONE;
  return values;
}

export class ContactHeadFrames {
  /** What is to be shown in place of the map; null for the map itself. */
  frame: Frame | null = null;
  private before: Fragment[] | null = null;
  private latest = 0;

  constructor(
    private readonly state: Model,
    private readonly length: () => number,
  ) {}

  private get mask(): Fragment[] {
    return visibleOf(this.state.get<Fragment[] | null>("mask"), this.length());
  }

  /** Take a frame in; false for one that comes too late. */
  take(message: FrameMessage, buffer: DataView | undefined): boolean {
    const length = this.length();
    if (!this.state.get("mask_preview") || message.serial <= this.latest || !buffer) return false;
    const values = unpack(buffer, length);
    if (!values) return false;
    this.latest = message.serial;
    this.frame = { ...message, map: { values, shape: [length, length] } };
    return true;
  }

  /** The drag began, went on or ended; true where the map itself is to be shown again at once. */
  follow(): boolean {
    if (this.state.get("mask_preview")) {
      this.before ??= this.mask;
      return false;
    }
    const unchanged = this.before !== null && same(this.before, this.mask);
    this.before = null;
    return unchanged && this.drop();
  }

  /** The map's values were replaced: they are newer than the frame, unless somebody still drags. */
  replaced(): void {
    if (!this.state.get("mask_preview")) this.drop();
  }

  private drop(): boolean {
    const had = this.frame !== null;
    this.frame = null;
    return had;
  }
}
