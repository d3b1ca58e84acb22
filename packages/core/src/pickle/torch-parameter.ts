/** Parameters, tensors with attributes, subclasses, and the tensors of torch before 0.4 that get their content by BUILD. */
import { OpaqueValue, TensorRef, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { badArgument } from "./call-arguments.ts";
import { TENSOR_BYTES } from "./heap-costs.ts";
import { GlobalRef, PendingValue, type PickleCall } from "./known-global.ts";
import { flagOf, isTensorLike, noteHooks, rebuildTensor } from "./torch-rebuild.ts";

type Args = readonly TreeValue[];

/** Estimated heap of an object that is no tensor. */
const OBJECT_BYTES = 200;
const PARAMETER_CLASSES: ReadonlySet<string> = new Set(["torch.nn.parameter.Parameter", "torch.nn.Parameter"]);

/** `(data, requires_grad, hooks)` */
export function rebuildParameter(args: Args, call: PickleCall): TreeValue {
  noteHooks(args[2], call);
  return parameterOf(args[0], flagOf(args[1], "requires_grad", call), call);
}

/** `(data, requires_grad, hooks, state)` */
export function rebuildParameterWithState(args: Args, call: PickleCall): TreeValue {
  noteAttributes(args[3], call);
  return rebuildParameter(args, call);
}

/** A copy of a tensor as a parameter. Wrappers that stay opaque and sparse tensors stay what they are. */
function parameterOf(tensor: TreeValue | undefined, requiresGrad: boolean, call: PickleCall): TreeValue {
  if (!isTensorLike(tensor) || tensor instanceof GlobalRef) throw badArgument(call, "a parameter is made of a tensor", tensor);
  if (!(tensor instanceof TensorRef)) return tensor;
  call.charge(TENSOR_BYTES);
  return tensor.with({ requiresGrad, origin: "parameter" });
}

/** `Parameter(data[, requires_grad])`; without arguments its content comes by BUILD. */
export function makeParameter(args: Args, call: PickleCall): TreeValue {
  if (args.length === 0) return new PendingTensor("torch.nn.parameter.Parameter", true);
  const requiresGrad = args[1] === undefined ? true : flagOf(args[1], "requires_grad", call);
  return parameterOf(args[0], requiresGrad, call);
}

/** `torch.FloatTensor()` of torch before 0.4: content comes by BUILD. Other ways to call a tensor class are kept, not followed. */
export function makeOldTensor(name: string): (args: Args, call: PickleCall) => TreeValue {
  return (args) => (args.length === 0 ? new PendingTensor(name, false) : new OpaqueValue(name, args));
}

/** A tensor between NEWOBJ and BUILD. */
class PendingTensor extends PendingValue {
  private readonly parameter: boolean;
  constructor(name: string, parameter: boolean) {
    super(name, []);
    this.parameter = parameter;
  }

  build(state: TreeValue, call: PickleCall): TreeValue {
    const parts = state instanceof TreeList && state.type === "tuple" ? state.elements : null;
    if (parts?.length === 4) {
      const tensor = rebuildTensor(parts, call);
      return this.parameter ? parameterOf(tensor, true, call) : tensor;
    }
    // A Variable of torch 0.1: (data, grad, hooks, requires_grad, volatile).
    if (parts?.length === 5) {
      noteHooks(parts[2], call);
      return parameterOf(parts[0], flagOf(parts[3], "requires_grad", call), call);
    }
    throw badArgument(call, "the state of a tensor is a tuple of 4 or 5", state);
  }
}

/**
 * BUILD on a tensor: `(requires_grad, volatile, hooks)` of a parameter of old, or a dict of attributes. Changes the tensor itself, since
 * the memo may name it already.
 */
export function buildTensor(tensor: TensorRef, state: TreeValue, call: PickleCall): void {
  if (state instanceof TreeDict) {
    noteAttributes(state, call);
    return;
  }
  const parts = state instanceof TreeList && state.type === "tuple" ? state.elements : null;
  if (parts?.length !== 3) throw badArgument(call, "the state of a tensor is a dict or a tuple of 3", state);
  noteHooks(parts[2], call);
  tensor.markRequiresGrad(flagOf(parts[0], "requires_grad", call));
}

/** `(func, type, args, state)`: a tensor with attributes, a buffer, or a subclass. Only functions that rebuild tensors are followed. */
export function rebuildFromType(rebuilders: ReadonlySet<string>): (args: Args, call: PickleCall) => TreeValue {
  return (args, call) => {
    const [rebuild, type, parts, state = null] = args;
    if (!(type instanceof GlobalRef) || !(rebuild instanceof OpaqueValue))
      throw badArgument(call, "a tensor of a type has a function and a class", type);
    if (!(parts instanceof TreeList) || parts.type !== "tuple")
      throw badArgument(call, "the arguments of a rebuild function are a tuple", parts);
    const known = rebuild instanceof GlobalRef && rebuilders.has(rebuild.global) ? rebuild.known?.call : undefined;
    if (known === undefined) call.charge(OBJECT_BYTES);
    if (known === undefined) return new OpaqueValue(type.global, [rebuild, parts], type.dangerous || rebuild.dangerous, state);
    const made = known(parts.elements, call);
    if (made instanceof OpaqueValue) made.state = state;
    else noteAttributes(state, call);
    return made instanceof TensorRef && PARAMETER_CLASSES.has(type.global) ? parameterOf(made, made.requiresGrad, call) : made;
  };
}

/** Attributes of tensors are nowhere in a state dict; that they existed is worth a line. */
function noteAttributes(state: TreeValue | undefined, call: PickleCall): void {
  if (state !== null && state !== undefined) {
    call.warn("tensor-attributes-dropped", "some tensors have Python attributes of their own, which are left out");
  }
}
