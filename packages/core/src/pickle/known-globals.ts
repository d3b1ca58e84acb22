/** Everything that is known about globals. */
import type { GlobalTable } from "./known-global.ts";
import { NUMPY_GLOBALS } from "./numpy-globals.ts";
import { PYTHON_GLOBALS } from "./python-globals.ts";
import { TORCH_GLOBALS } from "./torch-globals.ts";

/** Python's plain types, numpy's arrays and torch's tensors. */
export const KNOWN_GLOBALS: GlobalTable = new Map([...PYTHON_GLOBALS, ...NUMPY_GLOBALS, ...TORCH_GLOBALS]);
