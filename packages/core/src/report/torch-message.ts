/**
 * torch's own sentences about a load, for people and programs that know them. Facts: torch 2.13 `nn/modules/module.py`
 * (`load_state_dict`, `_load_from_state_dict`, `_IncompatibleKeys`).
 */
import { isClean, type Mismatch, type ReplicaReport } from "./replica-report.ts";

/** torch's sentence of full success. */
export const ALL_KEYS_MATCHED = "<All keys matched successfully>";

/** A shape as torch prints it: `torch.Size([4, 2])`. */
export function torchSize(shape: readonly number[]): string {
  return `torch.Size([${shape.join(", ")}])`;
}

/** torch's sentence about one mismatch; torch has none for element types, so that one is in the form of its copy failures. */
export function torchMismatch(mismatch: Mismatch): string {
  const { key, checkpoint, model } = mismatch;
  if ((mismatch.reason ?? "shape") === "shape") {
    return `size mismatch for ${key}: copying a param with shape ${torchSize(checkpoint)} from checkpoint, the shape in current model is ${torchSize(model)}.`;
  }
  const cause = copyFailure(mismatch);
  return `While copying the parameter named "${key}", whose dimensions in the model are ${torchSize(model)} and whose dimensions in the checkpoint are ${torchSize(checkpoint)}, an exception occurred : ('${cause}',).`;
}

function copyFailure({ reason, checkpointDtype, modelDtype }: Mismatch): string {
  if (reason === "dtype") return `${checkpointDtype} values do not fit ${modelDtype} without loss`;
  if (reason === "overlap") {
    return "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation.";
  }
  if (reason === "gradient") return "Only Tensors of floating point and complex dtype can require gradients";
  return "the checkpoint has no bytes for it";
}

/** torch's `error_msgs` in torch's order: mismatches and other problems as the modules were visited. */
export function torchErrorMessages(replica: ReplicaReport): string[] {
  const lines: string[] = [];
  let at = 0;
  for (const problem of replica.errors) {
    // A problem may say that it comes after all mismatches, however many there are.
    const before = replica.mismatched.slice(at, problem.mismatchesBefore);
    lines.push(...before.map(torchMismatch), problem.message);
    at += before.length;
  }
  lines.push(...replica.mismatched.slice(at).map(torchMismatch));
  return lines;
}

/**
 * The text of torch's strict `RuntimeError`, or torch's sentence of success when the load was clean. Keys that a rule of ours allowed
 * are left out, as they are no failure.
 */
export function toTorchMessage(replica: ReplicaReport): string {
  const lines = torchErrorMessages(replica);
  const quoted = (keys: readonly string[]): string => keys.map((key) => `"${key}"`).join(", ");
  if (replica.unexpected.length > 0) lines.unshift(`Unexpected key(s) in state_dict: ${quoted(replica.unexpected)}. `);
  if (replica.missing.length > 0) lines.unshift(`Missing key(s) in state_dict: ${quoted(replica.missing)}. `);
  if (lines.length > 0) return `Error(s) in loading state_dict for ${replica.model}:\n\t${lines.join("\n\t")}`;
  return isClean(replica) ? ALL_KEYS_MATCHED : toIncompatibleKeys(replica);
}

/** What torch's non-strict call prints: `_IncompatibleKeys(missing_keys=['a'], unexpected_keys=[])`, or the sentence of success when truly clean. */
export function toIncompatibleKeys(replica: ReplicaReport): string {
  return isClean(replica)
    ? ALL_KEYS_MATCHED
    : `_IncompatibleKeys(missing_keys=${pythonList(replica.missing)}, unexpected_keys=${pythonList(replica.unexpected)})`;
}

function pythonList(keys: readonly string[]): string {
  return `[${keys.map(pythonString).join(", ")}]`;
}

/** Python's `repr` of a string: single quotes unless the text has only those. */
function pythonString(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n").replace(/\r/g, "\\r").replace(/\t/g, "\\t");
  return `${mark}${mark === "'" ? escaped.replace(/'/g, "\\'") : escaped}${mark}`;
}
