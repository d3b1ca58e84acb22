/**
 * Loads of some tiny tensors through all that a rank does of a load (options, messages, barriers, attaching, planning, committing, reporting), while
 * it joins: four processes that compile the same code in the middle of a load keep each other waiting at every barrier.
 */
import { LoadReport, Module, Parameter } from "@rankcast/core";
import { nativeMemory, type RankIdentity, rehearsePageReads, TensorCopier } from "@rankcast/core/runtime";
import type { Hello } from "../grpc/coordinator-channel.ts";
import { rehearsalChannel } from "../grpc/rehearsal-channel.ts";
import { type RehearsedWeights, rehearsedWeights } from "../replica/rehearse.ts";
import { ReplicaHost } from "../replica/replica-host.ts";
import { localReplicaSet } from "../replica/replica-set.ts";
import { RankSession } from "../session/rank-session.ts";
import { Collectives } from "./collectives.ts";

/** As many as make the engine's first compiler take most functions, and cost less than a tenth of a rank's start. */
const ROUNDS = 3;
const TENSORS = 16;

/**
 * Rehearses as the rank that `hello` introduces, and leaves nothing behind; gives the number of parameters that it has loaded.
 * @throws {CheckpointError} when this process cannot attach memory.
 */
export async function rehearseRound(hello: Hello, identity: RankIdentity, noMmap: boolean): Promise<number> {
  let loaded = 0;
  const weights = rehearsedWeights(TENSORS, noMmap);
  const { manifest, placed, release } = weights;
  try {
    const session = await RankSession.open("", "", hello, rehearsalChannel({ manifest, placement: placed, report: new LoadReport({}) }));
    const collectives = new Collectives(session, identity, noMmap, new TensorCopier(null));
    for (let round = 0; round < ROUNDS; round += 1) {
      const model = modelFor(weights);
      const replicas = localReplicaSet(new ReplicaHost(model));
      await collectives.load(replicas, "rehearsal", { immutable: true, strict: true, prefault: true });
      for (const [, { tensor }] of model.namedParameters()) if (tensor.storage.buffer !== null) loaded += 1;
    }
    collectives.release();
    if (nativeMemory(noMmap)) rehearsePageReads();
    return loaded;
  } finally {
    release();
  }
}

function modelFor({ names, shape }: RehearsedWeights): Module {
  const root = new Module();
  for (const name of names) {
    const path = name.split(".");
    const leaf = path.pop() ?? "";
    let module = root;
    for (const part of path) {
      const child = module.ownChildren.get(part) ?? new Module();
      if (!module.ownChildren.has(part)) module.registerModule(part, child);
      module = child;
    }
    module.registerParameter(leaf, Parameter.meta("float32", shape));
  }
  return root;
}
