/** What is known about numpy. numpy 2 renamed `numpy.core` to `numpy._core`; both are in use. */
import { globalKey, type KnownGlobal } from "./known-global.ts";
import { arrayFromBuffer, makeScalar, reconstructArray } from "./numpy-array.ts";
import { makeNumpyDType } from "./numpy-dtype.ts";

/** Arrays, scalars and dtypes. */
export const NUMPY_GLOBALS: ReadonlyMap<string, KnownGlobal> = new Map<string, KnownGlobal>([
  [globalKey("numpy", "dtype"), { call: makeNumpyDType }],
  ...["numpy.core", "numpy._core"].flatMap((core): [string, KnownGlobal][] => [
    [globalKey(`${core}.multiarray`, "_reconstruct"), { call: reconstructArray }],
    [globalKey(`${core}.multiarray`, "scalar"), { call: makeScalar }],
    [globalKey(`${core}.numeric`, "_frombuffer"), { call: arrayFromBuffer }],
  ]),
]);
