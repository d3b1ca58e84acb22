/** The schemes everybody has. */

import { loadFromGs } from "./gs.ts";
import { loadFromHttp } from "./http.ts";
import { loadFromHuggingFace } from "./hugging-face.ts";
import { loadFromLocal } from "./local.ts";
import { loadFromModelZoo, MODEL_ZOOS } from "./model-zoo.ts";
import { loadFromMmcls, loadFromOpenMmlab } from "./openmmlab.ts";
import { loadFromS3 } from "./s3.ts";
import { SchemeRegistry } from "./scheme-registry.ts";
import { loadFromTorchvision } from "./torchvision.ts";

/** A registry with the built-in schemes. */
export function builtInSchemes(): SchemeRegistry {
  const registry = new SchemeRegistry();
  registry.register(["", "file://"], loadFromLocal, { name: "local" });
  registry.register(["http://", "https://"], loadFromHttp, { name: "http" });
  registry.register(["torchvision://", "modelzoo://"], loadFromTorchvision, { name: "torchvision" });
  registry.register([...MODEL_ZOOS.keys()], loadFromModelZoo, { name: "model zoo" });
  registry.register(["open-mmlab://", "openmmlab://"], loadFromOpenMmlab, { name: "openmmlab" });
  registry.register("hf://", loadFromHuggingFace, { name: "hugging face" });
  registry.register("s3://", loadFromS3, { name: "s3" });
  registry.register("gs://", loadFromGs, { name: "google cloud storage" });
  registry.register("mmcls://", loadFromMmcls, { name: "mmcls" });
  return registry;
}

/** What `CheckpointLoader.registerScheme` adds to. */
export const defaultSchemes: SchemeRegistry = builtInSchemes();
