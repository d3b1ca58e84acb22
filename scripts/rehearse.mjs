/**
 * Loads as launchers, coordinators and ranks do, in one process, and keeps what V8 has compiled on the way: run by `flatten.mjs`, beside whose files it
 * leaves the caches.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "./bootstrap.mjs";
import { beginRehearsal, takeCaches } from "./code-cache.mjs";

/** Of the model that is loaded: a weight and a bias in each. */
const LAYERS = 24;
const SHAPE = [64, 64];

const directory = mkdtempSync(join(tmpdir(), "rankcast-rehearsal-"));
process.env.RANKCAST_HOME = join(directory, "home");
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

beginRehearsal();
const door = (name, entry) => import(pathToFileURL(join(ROOT, "packages", name, "dist/flat", `${entry}.js`)).href);
const { Module, Parameter, StateDict, Tensor, saveSafetensors, saveTorch } = await door("core", "index");
const { joinGroup } = await door("worker", "index");
const { startCoordinator } = await door("coordinator", "index");

const names = Array.from({ length: LAYERS }, (_, layer) => `blocks.${layer}`).flatMap((block) => [`${block}.weight`, `${block}.bias`]);
const shapeOf = (name) => (name.endsWith("bias") ? SHAPE.slice(1) : SHAPE);
const stateDict = new StateDict(
  names.map((name) => [name, Tensor.from(new Float32Array(shapeOf(name).reduce((one, other) => one * other)), shapeOf(name))]),
);
const torch = join(directory, "model.pt");
const safetensors = join(directory, "model.safetensors");
await saveTorch(torch, stateDict);
await saveSafetensors(safetensors, stateDict);

await launchLoad(torch);
for (const worldSize of [1, 2]) await loadInRanks(worldSize);
takeCaches();

/** `rankcast load`, whose rank is a process of its own: all that the launcher and its coordinator do is done in this one. */
async function launchLoad(path) {
  process.argv.splice(1, Infinity, "rankcast", "load", path, "--immutable", "--json");
  await door("cli", "main");
  if (process.exitCode) throw new Error(`rankcast load ended with ${process.exitCode}`);
}

/** What ranks do: checkpoints with and without a model, once of a file that was loaded before, and an update. */
async function loadInRanks(worldSize) {
  const coordinator = await startCoordinator({ worldSize });
  const { address, token, jobId } = coordinator;
  const ranks = await Promise.all(
    Array.from({ length: worldSize }, (_, rank) => {
      const variables = { RANK: rank, LOCAL_RANK: rank, WORLD_SIZE: worldSize, LOCAL_WORLD_SIZE: worldSize, RANKCAST_RESTART_COUNT: 0 };
      const environment = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, String(value)]));
      return joinGroup({ environment, coordinator: address, token, jobId });
    }),
  );
  const everywhere = (work) => Promise.all(ranks.map(work));
  for (const path of [torch, safetensors, torch]) {
    await everywhere((group) => group.loadCheckpoint(path, { immutable: true }));
    await everywhere((group) => group.loadModelCheckpoint(emptyModel(), path, { immutable: true, strict: true, prefault: true }));
  }
  await everywhere((group) => group.broadcastStateDict(group.rank === 0 ? stateDict : null));
  await everywhere((group) => group.close());
  await coordinator.close();
}

function emptyModel() {
  const root = new Module();
  const blocks = new Module();
  root.registerModule("blocks", blocks);
  for (let layer = 0; layer < LAYERS; layer += 1) {
    const block = new Module();
    blocks.registerModule(String(layer), block);
    for (const name of ["weight", "bias"]) block.registerParameter(name, Parameter.meta("float32", shapeOf(name)));
  }
  return root;
}
