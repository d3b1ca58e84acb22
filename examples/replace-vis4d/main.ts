/**
 * What was in Python
 *
 *     @CheckpointLoader.register_scheme("zoo://")
 *     def load_from_zoo(filename, map_location=None): ...
 *
 *     load_model_checkpoint(model, "zoo://ddp-convnet", strict=False, rev_keys=[(r"^module\.", ""), (r"^norm(\d)", r"bn\1")])
 *
 * `node examples/dist/replace-vis4d/main.js`; docs/from-vis4d.md has every call and every difference.
 */
import { fileURLToPath } from "node:url";
import { CheckpointLoader, loadModelCheckpoint, Module, Parameter, Tensor } from "@rankcast/core";

// A scheme says where the bytes are; decoding, renaming and loading stay as for every other.
CheckpointLoader.registerScheme("zoo://", (uri, context) =>
  context.resolve(fileURLToPath(new URL(`../../assets/${uri.slice("zoo://".length)}.pt`, import.meta.url))),
);

const report = await loadModelCheckpoint(convnet(), "zoo://ddp-convnet", {
  // Python's patterns and templates, as they stood.
  revKeys: [
    ["^module\\.", ""],
    ["^norm(\\d)", "bn\\1"],
  ],
});
console.log(`${report}`);
// vis4d's own words, for whoever reads logs by them.
console.log(report.toVis4dMessage());

/** The model of assets/make_checkpoint.py after a refactoring: its normalisations are called otherwise, and it has one layer more. */
function convnet(): Module {
  const model = new Module({ typeName: "ConvNet" });
  model.registerModule("conv1", layer({ weight: [16, 3, 3, 3] }));
  model.registerModule("bn1", batchNorm(16));
  model.registerModule("conv2", layer({ weight: [32, 16, 3, 3] }));
  model.registerModule("bn2", batchNorm(32));
  model.registerModule("head", layer({ weight: [64, 512], bias: [64] }));
  model.registerModule("classifier", layer({ weight: [10, 64] }));
  return model;
}

function layer(shapes: Readonly<Record<string, readonly number[]>>): Module {
  const module = new Module();
  for (const [name, shape] of Object.entries(shapes)) module.registerParameter(name, Parameter.meta("float32", shape));
  return module;
}

function batchNorm(channels: number): Module {
  const module = layer({ weight: [channels], bias: [channels] });
  for (const name of ["running_mean", "running_var"]) module.registerBuffer(name, Tensor.from(new Float32Array(channels), [channels]));
  module.registerBuffer("num_batches_tracked", Tensor.from(new BigInt64Array(1), []));
  return module;
}
