/**
 * The schemes everybody has. Loaders are imported when a weights string first needs them: HTTP, caches and signatures are a third of this
 * package's code, and most processes of a job never fetch anything.
 */
import { MODEL_ZOOS } from "./model-zoo-table.ts";
import { type SchemeLoader, SchemeRegistry } from "./scheme-registry.ts";

const later =
  (load: () => Promise<SchemeLoader>): SchemeLoader =>
  async (uri, context) =>
    (await load())(uri, context);

const local = later(async () => (await import("./local.ts")).loadFromLocal);
const http = later(async () => (await import("./http.ts")).loadFromHttp);
const torchvision = later(async () => (await import("./torchvision.ts")).loadFromTorchvision);
const modelZoo = later(async () => (await import("./model-zoo.ts")).loadFromModelZoo);
const openMmlab = later(async () => (await import("./openmmlab.ts")).loadFromOpenMmlab);
const mmcls = later(async () => (await import("./openmmlab.ts")).loadFromMmcls);
const huggingFace = later(async () => (await import("./hugging-face.ts")).loadFromHuggingFace);
const s3 = later(async () => (await import("./s3.ts")).loadFromS3);
const gs = later(async () => (await import("./gs.ts")).loadFromGs);

/** A registry with the built-in schemes. */
export function builtInSchemes(): SchemeRegistry {
  const registry = new SchemeRegistry();
  registry.register(["", "file://"], local, { name: "local" });
  registry.register(["http://", "https://"], http, { name: "http" });
  registry.register(["torchvision://", "modelzoo://"], torchvision, { name: "torchvision" });
  registry.register([...MODEL_ZOOS.keys()], modelZoo, { name: "model zoo" });
  registry.register(["open-mmlab://", "openmmlab://"], openMmlab, { name: "openmmlab" });
  registry.register("hf://", huggingFace, { name: "hugging face" });
  registry.register("s3://", s3, { name: "s3" });
  registry.register("gs://", gs, { name: "google cloud storage" });
  registry.register("mmcls://", mmcls, { name: "mmcls" });
  return registry;
}

/** What `CheckpointLoader.registerScheme` adds to. */
export const defaultSchemes: SchemeRegistry = builtInSchemes();
