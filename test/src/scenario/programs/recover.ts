/**
 * One rank of a job in which collectives fail and are tried again: a strict load of other weights, an update that matches nothing, a barrier
 * that one rank misses. Prints what each step gave. Arguments: weights, other weights.
 */
import { CheckpointError, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { createReplica, valuesOf } from "../replicas/fixture-model.js";

const [weights = "", otherWeights = ""] = process.argv.slice(2);
const LATE_RANK = 2;
await using group = await joinGroup();
const model = createReplica();

const steps = [
  await outcome(group.loadModelCheckpoint(model, otherWeights, { strict: true })),
  await outcome(group.loadModelCheckpoint(model, weights, { strict: true })),
  await outcome(group.broadcastStateDict(group.rank === 1 ? biasOf("nothing.like.it", 7) : null, { src: 1 })),
  await outcome(group.broadcastStateDict(group.rank === 1 ? biasOf("fc.bias", 7) : null, { src: 1 })),
];
// The late rank comes when the others have given up on it, and learns what was decided without it.
const others = group.rank === LATE_RANK ? group.barrier("others gave up") : null;
if (others) await others;
steps.push(
  await outcome(group.barrier("impatient", { timeoutMs: 500 }), others === null ? () => group.barrier("others gave up") : undefined),
);
steps.push(await outcome(group.barrier("all are still here")));
process.stdout.write(JSON.stringify({ steps, bias: valuesOf(model, "fc.bias"), generation: group.generation }));

function biasOf(name: string, value: number): StateDict {
  return new StateDict([[name, Tensor.from(new Float32Array(2).fill(value), [2])]]);
}

async function outcome(work: Promise<unknown>, then?: () => Promise<unknown>): Promise<unknown> {
  try {
    await work;
    return "passed";
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const { code, details } = error;
    const root = details["rootCause"] as { readonly rank: number } | undefined;
    return { class: error.class, code, rootRank: root?.rank ?? null, missing: details["missing"] ?? null };
  } finally {
    await then?.();
  }
}
