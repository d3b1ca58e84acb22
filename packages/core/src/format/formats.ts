/** The formats in the order in which they are asked. Structure decides, so the order only matters where one structure contains another. */
import type { CheckpointFormat } from "./checkpoint-format.ts";
import { gguf } from "./gguf.ts";
import { npy } from "./npy.ts";
import { npz } from "./npz.ts";
import { plainPickle } from "./plain-pickle.ts";
import { safetensors } from "./safetensors.ts";
import { tfjs } from "./tfjs.ts";
import { torchLegacy } from "./torch-legacy.ts";
import { torchTar } from "./torch-tar.ts";
import { torchZip } from "./torch-zip.ts";

/** All readers. The first whose `matches` says yes reads the input. */
export const FORMATS: readonly CheckpointFormat[] = [safetensors, npy, npz, gguf, tfjs, torchZip, torchLegacy, torchTar, plainPickle];
