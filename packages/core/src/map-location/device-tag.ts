/** Device tags as torch writes them into checkpoints. Facts: torch 2.13 `torch/serialization.py` (`register_package`, `_backend_tag`). */

/** A tag taken apart. */
export interface DeviceTag {
  /** `cpu`, `cuda`, `mps`, … */
  readonly type: string;
  /** Number after the colon; null when there is none. */
  readonly index: number | null;
}

/** Device types that torch has by itself. A renamed private backend has a name of its own and parses all the same. */
export const TORCH_DEVICE_TYPES: ReadonlySet<string> = new Set(["cpu", "cuda", "mps", "meta", "hpu", "xpu", "mtia", "privateuse1"]);

const TAG = /^([a-z_][a-z0-9_]*)(?::(0|[1-9]\d{0,8}))?$/;

/** The parts of a tag such as `cuda:2`, or null when it is none (`CPU`, `cuda:`, `cuda:-1`). */
export function parseDeviceTag(tag: string): DeviceTag | null {
  const found = TAG.exec(tag);
  return found?.[1] === undefined ? null : { type: found[1], index: found[2] === undefined ? null : Number(found[2]) };
}
