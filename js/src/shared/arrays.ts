// The one way in which an array travels: {dtype, shape} beside a little-endian, row-major binary buffer.

export type TypedArray = Float32Array | Uint8Array | Int32Array;

export interface ArrayPayload {
  dtype: "float32" | "uint8" | "int32";
  shape: number[];
  data: DataView | ArrayBuffer | Uint8Array;
}

export interface LabelledArray {
  values: TypedArray;
  shape: number[];
}

const kinds = { float32: Float32Array, uint8: Uint8Array, int32: Int32Array };

/** The bytes of a buffer in whichever form the notebook hands it over; nothing is copied. */
export function bytesOf(data: DataView | ArrayBuffer | Uint8Array): Uint8Array {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

/** Read a payload; copies only where the buffer is not aligned for its type. */
export function decode(payload: ArrayPayload | null | undefined): LabelledArray | null {
  if (!payload) return null;
  const kind = kinds[payload.dtype];
  if (!kind) throw new TypeError(`arrays of type ${String(payload.dtype)} are not understood`);
  let bytes = bytesOf(payload.data);
  const size = payload.shape.reduce((product, extent) => product * extent, 1);
  if (bytes.byteLength !== size * kind.BYTES_PER_ELEMENT) {
    throw new RangeError(`${bytes.byteLength} bytes do not hold ${payload.shape.join(" × ")} ${payload.dtype}`);
  }
  if (bytes.byteOffset % kind.BYTES_PER_ELEMENT) bytes = bytes.slice();
  return { values: new kind(bytes.buffer as ArrayBuffer, bytes.byteOffset, size), shape: payload.shape };
}

export function encode(values: TypedArray, shape: number[]): ArrayPayload {
  const dtype = values instanceof Float32Array ? "float32" : values instanceof Int32Array ? "int32" : "uint8";
  return { dtype, shape, data: new DataView(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength) };
}

/**
 * Write rows into a payload's own buffer, so that every view of the model (and a saved page) sees them.
 * Rows are 0-based; `data` holds them one after the other. Doing it twice changes nothing.
 */
export function patchRows(payload: ArrayPayload, rows: number[], data: DataView | ArrayBuffer | Uint8Array): void {
  const target = bytesOf(payload.data);
  const source = bytesOf(data);
  const stride = target.byteLength / (payload.shape[0] ?? 1);
  if (source.byteLength !== stride * rows.length) throw new RangeError("rows of another length than the map's");
  rows.forEach((row, k) => {
    if (row < 0 || row >= (payload.shape[0] ?? 0)) throw new RangeError(`row ${row} lies outside the map`);
    target.set(source.subarray(k * stride, (k + 1) * stride), row * stride);
  });
}
