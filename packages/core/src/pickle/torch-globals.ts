/** What is known about torch's functions and classes. Names: torch `_utils.py`, `_tensor.py`, `serialization.py`. */
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { sequence } from "./call-arguments.ts";
import { globalKey, type KnownGlobal, type PickleCall } from "./known-global.ts";
import { TENSOR_CLASS_NAMES } from "./torch-names.ts";
import { makeOldTensor, makeParameter, rebuildFromType, rebuildParameter, rebuildParameterWithState } from "./torch-parameter.ts";
import { rebuildQuantised } from "./torch-quantised.ts";
import {
  rebuildDeviceTensor,
  rebuildMetaTensor,
  rebuildTensor,
  rebuildTensorV2,
  rebuildTensorV3,
  rebuildWrapper,
} from "./torch-rebuild.ts";
import { rebuildSparse, rebuildSparseCsr } from "./torch-sparse.ts";

/** Functions of `torch._utils` that answer with a tensor or the shell of one; `_rebuild_from_type_v2` may name only these. */
const REBUILDERS: readonly (readonly [name: string, call: NonNullable<KnownGlobal["call"]>])[] = [
  ["_rebuild_tensor", rebuildTensor],
  ["_rebuild_tensor_v2", rebuildTensorV2],
  ["_rebuild_tensor_v3", rebuildTensorV3],
  ["_rebuild_parameter", rebuildParameter],
  ["_rebuild_parameter_with_state", rebuildParameterWithState],
  ["_rebuild_qtensor", rebuildQuantised],
  ["_rebuild_sparse_tensor", rebuildSparse],
  ["_rebuild_sparse_csr_tensor", rebuildSparseCsr],
  ["_rebuild_meta_tensor_no_storage", rebuildMetaTensor],
  ["_rebuild_device_tensor_from_numpy", rebuildDeviceTensor],
  ["_rebuild_device_tensor_from_cpu_tensor", rebuildDeviceTensor],
  ["_rebuild_xla_tensor", rebuildDeviceTensor],
  ["_rebuild_wrapper_subclass", rebuildWrapper],
];

const DEVICES = ["torch", "torch.cuda", "torch.xpu", "torch.mps"];

/** torch's functions and classes. Storage classes, dtypes and schemes are arguments, not calls: `torch-names.ts` knows them. */
export const TORCH_GLOBALS: ReadonlyMap<string, KnownGlobal> = new Map<string, KnownGlobal>([
  ...REBUILDERS.map(([name, call]): [string, KnownGlobal] => [globalKey("torch._utils", name), { call }]),
  [
    globalKey("torch._tensor", "_rebuild_from_type_v2"),
    { call: rebuildFromType(new Set(REBUILDERS.map(([name]) => `torch._utils.${name}`))) },
  ],
  [globalKey("torch._utils", "_rebuild_tensor_v2"), { call: rebuildTensorV2, dense: true }],
  [globalKey("torch.storage", "_load_from_bytes"), { nested: true }],
  [globalKey("torch", "Size"), { call: makeSize }],
  [globalKey("torch.nn.parameter", "Parameter"), { call: makeParameter }],
  [globalKey("torch.nn", "Parameter"), { call: makeParameter }],
  ...DEVICES.flatMap((module) =>
    TENSOR_CLASS_NAMES.map((name): [string, KnownGlobal] => [globalKey(module, name), { call: makeOldTensor(`${module}.${name}`) }]),
  ),
]);

/** `torch.Size((2, 3))` */
function makeSize(args: readonly TreeValue[], call: PickleCall): TreeList {
  const elements = args[0] === undefined ? [] : sequence(args[0], "a torch.Size", call);
  call.charge(64 + 12 * elements.length);
  return new TreeList("Size", [...elements]);
}
