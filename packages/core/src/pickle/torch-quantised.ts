/** Quantised tensors: integers with a scale and a zero point, for the whole tensor or for each slice of one axis. */
import { type Quantisation, TensorRef, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { traitsOf } from "../tensor/dtype.ts";
import { badArgument, countOf, floatOf, sequence } from "./call-arguments.ts";
import { GlobalRef, type PickleCall } from "./known-global.ts";
import { elementTypeOf, flagOf, noteHooks, storageOf } from "./torch-rebuild.ts";
import { dimensions, makeTensor } from "./torch-tensor.ts";

type Args = readonly TreeValue[];

const PER_TENSOR: ReadonlySet<string> = new Set(["per_tensor_affine", "per_tensor_symmetric"]);
const PER_CHANNEL: ReadonlySet<string> = new Set(["per_channel_affine", "per_channel_affine_float_qparams", "per_channel_symmetric"]);

/** `(storage, offset, size, stride, quantizer, requires_grad, hooks)` */
export function rebuildQuantised(args: Args, call: PickleCall): TensorRef {
  const storage = storageOf(args[0], call);
  const dtype = elementTypeOf(storage, call);
  if (traitsOf(dtype).kind !== "quantised") throw call.refuse("RANKCAST_TENSOR_TYPE", `a quantised tensor of ${dtype}`);
  noteHooks(args[6], call);
  const quantisation = readQuantiser(args[4], dimensions(args[2], "size", call), call);
  const requiresGrad = flagOf(args[5], "requires_grad", call);
  return makeTensor({ storage, dtype, offset: args[1], size: args[2], stride: args[3], requiresGrad, quantisation }, call);
}

function readQuantiser(value: TreeValue | undefined, shape: readonly number[], call: PickleCall): Quantisation {
  const [scheme, scale, zeroPoint, axis] = sequence(value, "a quantiser", call);
  const name = scheme instanceof GlobalRef && scheme.module === "torch" ? scheme.name : "";
  if (PER_TENSOR.has(name)) return perTensor(name, scale, zeroPoint, call);
  if (PER_CHANNEL.has(name)) return perChannel(name, [scale, zeroPoint, axis], shape, call);
  throw call.refuse("RANKCAST_TENSOR_TYPE", "a tensor has a way to quantise that is not supported");
}

function perTensor(scheme: string, scale: TreeValue | undefined, zeroPoint: TreeValue | undefined, call: PickleCall): Quantisation {
  const scaleNumber = floatOf(scale);
  if (scaleNumber === null) throw badArgument(call, "the scale of a quantised tensor is a float", scale);
  if (typeof zeroPoint !== "number" || !Number.isSafeInteger(zeroPoint)) {
    throw badArgument(call, "the zero point of a quantised tensor is an int", zeroPoint);
  }
  return { scheme, scale: scaleNumber, zeroPoint };
}

function perChannel(
  scheme: string,
  [scale, zeroPoint, axis]: readonly (TreeValue | undefined)[],
  shape: readonly number[],
  call: PickleCall,
): Quantisation {
  if (!(scale instanceof TensorRef)) throw badArgument(call, "the scales of a quantised tensor are a tensor", scale);
  if (!(zeroPoint instanceof TensorRef)) throw badArgument(call, "the zero points of a quantised tensor are a tensor", zeroPoint);
  const axisNumber = countOf(axis);
  const channels = axisNumber === null ? undefined : shape[axisNumber];
  if (axisNumber === null || channels === undefined) {
    throw call.refuse(
      "RANKCAST_TENSOR_LAYOUT",
      `the channels of a quantised tensor are on an axis it does not have; its rank is ${shape.length}`,
    );
  }
  for (const each of [scale, zeroPoint]) {
    if (each.shape.length !== 1 || each.shape[0] !== channels) {
      throw call.refuse(
        "RANKCAST_TENSOR_LAYOUT",
        `a quantised tensor has ${channels} channels, its scales or zero points are (${each.shape.join(", ")})`,
      );
    }
  }
  return { scheme, scale, zeroPoint, axis: axisNumber };
}
