// While a mask is dragged the kernel sends frames: the contact head's map under the mask of that moment. They lie over
// the map's own values until those are replaced, and are kept nowhere.

import { bytesOf, type LabelledArray } from "./arrays";
import { same, visibleOf, type Fragment } from "./fragments";
import type { Model } from "./model";

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

export class HeadFrames {
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
    const bytes = buffer && bytesOf(buffer);
    if (!this.state.get("mask_preview") || message.serial <= this.latest || bytes?.byteLength !== 4 * length * length) return false;
    this.latest = message.serial;
    const aligned = bytes.byteOffset % 4 ? bytes.slice() : bytes;
    const values = new Float32Array(aligned.buffer as ArrayBuffer, aligned.byteOffset, length * length);
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
