/** numpy's dtypes as pickles write them: `dtype("f4", False, True)`, then BUILD `(3, "<", None, None, None, -1, -1, 0)`. */
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { DType } from "../tensor/dtype.ts";
import { dtypeOfNumpyCode } from "../tensor/numpy-dtype-codes.ts";
import { badArgument, textOf } from "./call-arguments.ts";
import { type PickleCall, StatefulValue } from "./known-global.ts";

/** Codes of numbers are far shorter; the text may be in the memo and long, and a dtype of it takes six bytes each time. */
const CODE_LENGTH_MAX = 16;

/** A numpy dtype. Stays in the tree as an object of its class when nothing uses it. */
export class NumpyDType extends StatefulValue {
  /** Element type; null for objects, text, dates and structures. */
  elementType: DType | null;
  bigEndian: boolean;
  private built = false;

  constructor(args: readonly TreeValue[], text: string) {
    super("numpy.dtype", args);
    const [, order = "", code = ""] = /^([<>=|]?)(.*)$/s.exec(text.slice(0, CODE_LENGTH_MAX)) ?? [];
    this.elementType = dtypeOfNumpyCode(code);
    this.bigEndian = order === ">";
  }

  /** `(version, byte order, sub-array, names, fields, item bytes, alignment, flags[, metadata])` */
  build(state: TreeValue, call: PickleCall): void {
    const parts = state instanceof TreeList && state.type === "tuple" ? state.elements : [];
    const order = textOf(parts[1]);
    if (this.built || parts.length < 5 || order === null || !/^[<>=|]$/.test(order)) {
      throw badArgument(call, "the state of a numpy.dtype is a tuple with a byte order, given once", state);
    }
    this.built = true;
    this.state = state;
    this.bigEndian = order === ">";
    if (parts[2] !== null || parts[3] !== null || parts[4] !== null) this.elementType = null;
  }
}

/** `numpy.dtype(text[, align, copy])`; other arguments (a class of ml_dtypes, say) give a dtype that is not understood. */
export function makeNumpyDType(args: readonly TreeValue[], call: PickleCall): NumpyDType {
  if (args[0] === undefined) throw badArgument(call, "a numpy.dtype is made of a text", args[0]);
  call.charge(200);
  return new NumpyDType(args, textOf(args[0]) ?? "");
}
