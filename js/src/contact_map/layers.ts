// Which maps there are, and which of them lie above and below the diagonal.

import { decode, type ArrayPayload, type LabelledArray } from "../shared/arrays";
import type { Model } from "../shared/model";

/** One map with its words, as `contact_map/layers.py` sends it. */
export interface Layer {
  name: string;
  label: string;
  caption: string;
  /** "score", "probability", "norm", or "contact" for native contacts. */
  quantity: string;
  units: string;
  values: LabelledArray;
  /** Whether it is the map under the present mask, as opposed to one of another mask or of none. */
  underMask: boolean;
}

interface LayerPayload {
  label: string;
  caption: string;
  quantity: string;
  units: string;
  values: ArrayPayload;
}

interface AddedPayload extends LayerPayload {
  name: string;
}

export type Named = Pick<Layer, "name" | "label">;

export const LIVE = "map";

/** catjac's own maps beside the one that is computed now: name, trait, what it is called while it has no values. */
const OWN: [string, string, string][] = [
  ["head", "head", "contact head"],
  ["unmasked", "unmasked", "no mask"],
  ["unmasked head", "unmasked_head", "contact head, no mask"],
  ["former", "former", "the mask before"],
];

const UNRESOLVED = 2;

/** Native contacts as a map: 1, 0, NaN where not resolved. */
export function nativeMap(native: LabelledArray): LabelledArray {
  return { values: Float32Array.from(native.values, (value) => (value === UNRESOLVED ? NaN : value)), shape: native.shape };
}

/** Maps that were read, so that one that has not changed stays the same object. */
const known = new WeakMap<LayerPayload, Layer>();

/** A map by its name; null where it has no values, or not those of this sequence. */
export function readLayer(model: Model, name: string, length: number): Layer | null {
  const made = (payload: LayerPayload | null | undefined, underMask: boolean): Layer | null => {
    if (!payload) return null;
    let layer = known.get(payload);
    if (!layer) known.set(payload, (layer = { ...payload, name, values: decode(payload.values)!, underMask }));
    return layer.values.shape[0] === length ? layer : null;
  };
  if (name === LIVE) {
    const words = { label: model.get<string>("label"), caption: model.get<string>("caption"), quantity: model.get<string>("quantity"), units: model.get<string>("units") ?? "" };
    const values = model.get<ArrayPayload | null>("values");
    return values && made({ ...words, values }, true);
  }
  if (name === "native") {
    const native = decode(model.get<ArrayPayload | null>("native"));
    if (native?.shape[0] !== length) return null;
    return { name, label: "native contacts", caption: "contacts of the structure", quantity: "contact", units: "", values: nativeMap(native), underMask: false };
  }
  const own = OWN.find(([key]) => key === name);
  if (own) return made(model.get<LayerPayload | null>(own[1]), name === "head");
  return made((model.get<AddedPayload[] | null>("added") ?? []).find((added) => added.name === name), false);
}

/** The maps that may be chosen: those with values, and those that the kernel computes when they are. */
export function choices(model: Model): Named[] {
  const offered = model.get<string[] | null>("offered") ?? [];
  const found: Named[] = [{ name: LIVE, label: model.get<string>("label") }];
  for (const [name, trait, label] of OWN) {
    const layer = model.get<LayerPayload | null>(trait);
    if (layer || offered.includes(name)) found.push({ name, label: layer?.label ?? label });
  }
  if (model.get("native")) found.push({ name: "native", label: "native contacts" });
  for (const { name, label } of model.get<AddedPayload[] | null>("added") ?? []) found.push({ name, label });
  return found;
}

/** Names (above, below) the diagonal from a trait's value. */
export function readShown(value: unknown): [string, string] {
  const good = Array.isArray(value) && value.length === 2 && value.every((name) => typeof name === "string");
  return good ? [value[0] as string, value[1] as string] : [LIVE, LIVE];
}

export const LAYER_EVENTS = ["values", "native", "added", "offered", ...OWN.map(([, trait]) => trait)].map((trait) => `change:${trait}`);
