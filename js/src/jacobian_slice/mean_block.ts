// The mean block of a brush, as the kernel tells it beside the blocks of single pairs.

import type { ArrayPayload } from "../shared/arrays";
import { readBrush, sameBrush, type Brush } from "../shared/brush";
import type { Model } from "../shared/model";

export interface MeanPart {
  brush: Brush;
  /** "ready", "waiting", "masked" or "error". */
  status: string;
  note: string;
  /** What it is the mean of. */
  words: string;
  letters_in: string[];
  letters_out: string[];
  values: ArrayPayload | null;
}

/** The block that is brushed; null while a pair is what is looked at. */
export const brushOf = (state: Model): Brush | null => readBrush(state.get("brush"), state.get<{ residues: string }>("sequence").residues.length);

/** What is known of a brush's mean block; null while nobody has said anything. */
export function meanOf(model: Model, brush: Brush): MeanPart | null {
  const mean = model.get<MeanPart | null>("mean");
  return mean && sameBrush(mean.brush, brush) ? mean : null;
}
