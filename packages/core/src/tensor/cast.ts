/** Conversions between element types. */

import type { DType } from "./dtype.ts";
import { decodeElement, type ElementView } from "./element.ts";
import type { Storage } from "./storage.ts";

/** float32 values of a contiguous run of elements. */
export function decodeToFloat32(
  view: ElementView & { readonly dtype: DType; readonly storageOffset: number; readonly storage: Storage },
  count: number,
): Float32Array {
  const out = new Float32Array(count);
  for (let at = 0; at < count; at += 1) {
    const value = decodeElement(view, view.storageOffset + at);
    out[at] = typeof value === "object" ? value.re : Number(value);
  }
  return out;
}
