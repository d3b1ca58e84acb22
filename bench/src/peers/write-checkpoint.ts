/** Writes the files of `makePeersCheckpoint` and says what is in them. Arguments: directory, nbytes. */
import { join } from "node:path";
import { convertCheckpoint } from "@rankcast/core";
import { extentsOf, generateCheckpoint } from "../generated-checkpoint.js";
import type { PeersCheckpoint } from "./peers-checkpoint.js";

const [directory = "", nbytes] = process.argv.slice(2);
const generated = await generateCheckpoint(join(directory, "model.pt"), Number(nbytes));
const safetensors = join(directory, "model.safetensors");
await convertCheckpoint(generated.path, safetensors, { revKeys: [], immutable: true });
const checkpoint: PeersCheckpoint = {
  bytes: generated.bytes,
  pt: generated.path,
  safetensors,
  tensors: generated.tensors.map(({ name, shape }) => [name, shape] as const),
  extents: extentsOf(generated),
};
process.stdout.write(JSON.stringify(checkpoint));
