/** The formats in the order in which they are asked. Structure decides, so the order only matters where one structure contains another. */
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { dcp } from "./dcp.ts";
import { gguf } from "./gguf.ts";
import { npy } from "./npy.ts";
import { npz } from "./npz.ts";
import { plainPickle } from "./plain-pickle.ts";
import { readFirstMatch } from "./read-first-match.ts";
import { safetensors } from "./safetensors.ts";
import { shardedFormat } from "./sharded.ts";
import { tfjs } from "./tfjs.ts";
import { torchLegacy } from "./torch-legacy.ts";
import { torchTar } from "./torch-tar.ts";
import { torchZip } from "./torch-zip.ts";
import { zeroFormat } from "./zero.ts";

/** What is whole in one file, and so can be a shard. npz stands before torch's zip, dcp's pickle before any other pickle. */
const SINGLE_FILES: readonly CheckpointFormat[] = [safetensors, npy, npz, gguf, torchZip, torchLegacy, torchTar, plainPickle];

function readShard(shard: FormatInput): Promise<CheckpointTree> {
  return readFirstMatch(shard, SINGLE_FILES);
}

/** All readers. The first whose `matches` says yes reads the input. */
export const FORMATS: readonly CheckpointFormat[] = [shardedFormat(readShard), zeroFormat(readShard), tfjs, dcp, ...SINGLE_FILES];
