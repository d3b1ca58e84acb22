/** The text that vis4d and mmengine print or raise after a load. Facts: vis4d `common/ckpt.py`, mmengine `runner/checkpoint.py`. */
import type { ReplicaReport } from "./replica-report.ts";
import { torchErrorMessages } from "./torch-message.ts";

/** vis4d's text, empty when it would say nothing. Keys that hold `num_batches_tracked` are never missing there. */
export function toVis4dMessage(replica: ReplicaReport): string {
  const parts = torchErrorMessages(replica);
  const missing = replica.missing.filter((key) => !key.includes("num_batches_tracked"));
  if (replica.unexpected.length > 0) parts.push(`unexpected key in source state_dict: ${replica.unexpected.join(", ")}\n`);
  if (missing.length > 0) parts.push(`missing keys in source state_dict: ${missing.join(", ")}\n`);
  return parts.length === 0 ? "" : ["The model and loaded state dict do not match exactly\n", ...parts].join("\n");
}
