/** Saving from the live replicas and finding what was saved: complete checkpoints only, and every rank means the same one. */
import { randomBytes } from "node:crypto";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DistributionError, findLatestCheckpoint, type StateDict, saveSafetensors, type Tensor } from "@rankcast/core";
import { makeDirectories, resolveLocalPath, saveError } from "@rankcast/core/runtime";
import type { Collectives } from "./collectives.ts";

/** What saving needs of its group. */
export interface SavingGroup {
  readonly rank: number;
  readonly worldSize: number;
  readonly collectives: Pick<Collectives, "gather" | "generation" | "last">;
}

/** How to save. */
export interface SaveOptions {
  /** Part of the name, `step-000012`; counts up. Default: the group's generation. */
  readonly step?: number;
  /** `ranks`: every rank writes a share of the tensors, for folders that all of them see. `one` (default): rank 0 writes one file. */
  readonly shards?: "one" | "ranks";
  /** Texts for the file's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * How many checkpoints stay in the folder; older steps are removed once this one is complete, and what runs that died in the middle of a save have left.
   * Default: all.
   */
  readonly keep?: number;
}

const STEP_DIGITS = 6;
/** Where nothing has changed for so long, nobody saves any more. */
const ABANDONED_MS = 60 * 60_000;
/** Others that save the same step into the same folder. */
const RIVALS_MAX = 16;

/**
 * Collective: writes the state of the last round's replicas into the folder `target` as `step-N.safetensors`, or as a folder `step-N` of one file per rank with an index. It appears
 * whole or not at all.
 * @returns the path, the same on every rank.
 * @throws {CheckpointError} the same root cause on every rank; nothing of this step stays behind.
 */
export async function saveCheckpoint(group: SavingGroup, target: string, options: SaveOptions = {}): Promise<string> {
  const directory = resolveLocalPath(target);
  const { step = group.collectives.generation } = options;
  const replicas = group.collectives.last;
  if (!replicas)
    throw new DistributionError("RANKCAST_USAGE", "there is nothing to save: load a checkpoint into a model or a pool first", {});
  if (!Number.isSafeInteger(step) || step < 0) {
    throw new DistributionError("RANKCAST_USAGE", `step must be a whole number from 0 on, not ${step}`, { details: { option: "step" } });
  }
  const name = `step-${String(step).padStart(STEP_DIGITS, "0")}`;
  const sharded = options.shards === "ranks";
  const path = join(directory, sharded ? name : `${name}.safetensors`);
  const metadata = { ...options.metadata, step: String(step) };
  // Of its own: a job that was started twice, or again before it was quite dead, must not mix its shards with the other's.
  const [own] = sharded ? await group.collectives.gather("saving", group.rank === 0 ? randomName() : null) : [];
  const partial = join(directory, `.${name}.${own}.partial`);
  const written = await attempt(path, async () => {
    if (!sharded && group.rank !== 0) return null;
    makeDirectories(sharded ? partial : directory);
    const stateDict = await replicas.stateDict();
    if (sharded) return writeShard(partial, group, stateDict, metadata);
    await saveSafetensors(path, stateDict, { metadata });
    return null;
  });
  const shards = await group.collectives.gather("save", written.value ?? null, written.failure).catch(async (error: unknown) => {
    // Whoever is left has stopped writing.
    if (sharded && group.rank === 0) await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  });
  const finished = await attempt(path, async () => {
    if (group.rank !== 0) return;
    if (sharded) {
      await finishShards(partial, path, shards as readonly ShardFacts[]).catch(async (error: unknown) => {
        await rm(partial, { recursive: true, force: true });
        throw error;
      });
      await removeAbandoned(directory, name);
    }
    if (options.keep !== undefined) await removeOlder(directory, options.keep, step);
  });
  await group.collectives.gather("saved", null, finished.failure);
  return path;
}

/**
 * Collective: the newest complete checkpoint of a folder as rank 0 sees it, null when there is none; the same answer on every rank.
 * @throws {CheckpointError} the same root cause on every rank when the folder cannot be read.
 */
export async function resumeFrom(
  group: SavingGroup,
  directory: string,
): Promise<{ readonly weights: string; readonly step: number | null } | null> {
  const found = await attempt(directory, async () => (group.rank === 0 ? findLatestCheckpoint(directory) : null));
  const [first] = await group.collectives.gather(
    "resume",
    found.value ? { weights: found.value.path, step: found.value.step } : null,
    found.failure,
  );
  return first as { readonly weights: string; readonly step: number | null } | null;
}

interface ShardFacts {
  readonly file: string;
  readonly names: readonly string[];
  readonly nbytes: number;
}

/** The largest tensors first, each to the rank with the least so far: every rank computes the same shares. */
export function shareOf(stateDict: ReadonlyMap<string, Tensor>, rank: number, worldSize: number): Map<string, Tensor> {
  const loads = new Array<number>(worldSize).fill(0);
  // Names of one storage stay together, or they would not be tied when they are read again.
  const groups = new Map<unknown, [string, Tensor][]>();
  for (const [name, tensor] of stateDict) groups.set(tensor.storage, [...(groups.get(tensor.storage) ?? []), [name, tensor]]);
  const bytesOf = (members: readonly [string, Tensor][]): number => members.reduce((sum, [, tensor]) => sum + tensor.nbytes, 0);
  const ordered = [...groups.values()].map((members) => ({ members, nbytes: bytesOf(members) }));
  ordered.sort((a, b) => b.nbytes - a.nbytes);
  const share = new Map<string, Tensor>();
  for (const { members, nbytes } of ordered) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least] = (loads[least] ?? 0) + nbytes;
    if (least === rank) for (const [name, tensor] of members) share.set(name, tensor);
  }
  return share;
}

async function writeShard(
  partial: string,
  { rank, worldSize }: SavingGroup,
  stateDict: StateDict,
  metadata: Readonly<Record<string, string>>,
): Promise<ShardFacts> {
  const digits = (value: number): string => String(value).padStart(5, "0");
  const file = `model-${digits(rank + 1)}-of-${digits(worldSize)}.safetensors`;
  const share = shareOf(stateDict, rank, worldSize);
  await saveSafetensors(join(partial, file), share, { metadata });
  return { file, names: [...share.keys()], nbytes: [...share.values()].reduce((sum, tensor) => sum + tensor.nbytes, 0) };
}

/** The index last, then the folder's final name: until then nobody takes it for a checkpoint. */
async function finishShards(partial: string, path: string, shards: readonly ShardFacts[]): Promise<void> {
  const index = {
    metadata: { total_size: shards.reduce((sum, { nbytes }) => sum + nbytes, 0) },
    weight_map: Object.fromEntries(shards.flatMap(({ file, names }) => names.map((name) => [name, file]))),
  };
  const file = await open(join(partial, "model.safetensors.index.json"), "w");
  try {
    await file.writeFile(`${JSON.stringify(index, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await replaceFolder(partial, path);
  const parent = await open(dirname(path), "r");
  await parent.sync().finally(() => parent.close());
}

/** A folder cannot be renamed over another one; who saves the same step may put theirs there in between. The last one stays. */
async function replaceFolder(from: string, to: string): Promise<void> {
  for (let rivals = 0; ; rivals += 1) {
    await removeWhole(to);
    try {
      await rename(from, to);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if ((code !== "ENOTEMPTY" && code !== "EEXIST") || rivals >= RIVALS_MAX) throw error;
    }
  }
}

/** What runs that died in the middle of the same step have left; of one that is still writing, nothing. */
async function removeAbandoned(directory: string, name: string): Promise<void> {
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith(`.${name}.`) || !entry.endsWith(".partial")) continue;
    const path = join(directory, entry);
    const times = [path, ...(await readdir(path).catch(() => [])).map((file) => join(path, file))].map((each) =>
      stat(each).catch(() => null),
    );
    const changedMs = Math.max(...(await Promise.all(times)).map((facts) => facts?.mtimeMs ?? 0));
    if (Date.now() - changedMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  }
}

/** Steps before the newest `keep`, and what runs that died in the middle of a save have left of steps before the one that is complete now. */
async function removeOlder(directory: string, keep: number, complete: number): Promise<void> {
  const names = await readdir(directory);
  const own = names.filter((name) => /^step-\d+(\.safetensors)?$/.test(name));
  own.sort((a, b) => stepOf(b) - stepOf(a));
  for (const name of own.slice(Math.max(1, keep))) await removeWhole(join(directory, name));
  const unfinished = names.filter((name) => /^\.step-\d+[.].*(partial|removed|tmp)$/.test(name) && stepOf(name) < complete);
  for (const name of unfinished) await rm(join(directory, name), { recursive: true, force: true });
}

const stepOf = (name: string): number => Number(/\d+/.exec(name)?.[0] ?? 0);

/** Under another name first: a folder of which a part is gone must not look like a checkpoint. */
async function removeWhole(path: string): Promise<void> {
  const removed = join(dirname(path), `.${basename(path)}.${randomName()}.removed`);
  try {
    await rename(path, removed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(removed, { recursive: true, force: true });
}

const randomName = (): string => randomBytes(6).toString("hex");

async function attempt<T>(path: string, work: () => Promise<T>): Promise<{ value?: T; failure?: unknown }> {
  try {
    return { value: await work() };
  } catch (failure) {
    return { failure: saveError(path, failure) };
  }
}
