/** The replica module of the actors: a policy and its environments, in a thread of its own. */
import { digestStateDict } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";
import { TfjsModule } from "@rankcast/worker/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import type { Sequential } from "@tensorflow/tfjs-layers";
import { CartPole } from "./cart-pole.ts";
import { createNetwork, startTensorflow } from "./networks.ts";
import type { Rollout } from "./rollout.ts";
import { seededChance } from "./seeded-chance.ts";

const ENVIRONMENTS = 8;

/** A policy that plays. */
class Actor extends TfjsModule {
  readonly policy: Sequential;
  readonly chance: () => number;
  readonly environments: readonly CartPole[];

  constructor(policy: Sequential, seed: number) {
    super({ layers: [policy] });
    this.policy = policy;
    this.chance = seededChance(seed);
    this.environments = Array.from({ length: ENVIRONMENTS }, () => new CartPole(this.chance));
  }
}

/** Called once per thread. */
export async function createReplica({ rank, replica }: ReplicaContext): Promise<Actor> {
  await startTensorflow();
  return new Actor(createNetwork("policy"), 1000 * rank + replica);
}

/** `pool.runAll("play", steps)`: every environment goes on for `steps` steps. */
export function play(actor: Actor, steps: number): Rollout {
  const count = steps * ENVIRONMENTS;
  const rollout = {
    environments: ENVIRONMENTS,
    steps,
    policyDigest: digestStateDict(actor.stateDict()),
    states: new Float32Array(4 * count),
    nextStates: new Float32Array(4 * count),
    actions: new Int32Array(count),
    logProbabilities: new Float32Array(count),
    failed: new Uint8Array(count),
    ended: new Uint8Array(count),
    episodeReturns: [] as number[],
  };
  for (let step = 0; step < steps; step += 1) {
    const first = step * ENVIRONMENTS;
    for (const [index, { state }] of actor.environments.entries()) rollout.states.set(state, 4 * (first + index));
    const chosen = chooseActions(actor, rollout.states.subarray(4 * first, 4 * (first + ENVIRONMENTS)));
    for (const [index, { action, logProbability }] of chosen.entries()) {
      const at = first + index;
      const { next, failed, episodeReturn } = actor.environments[index]?.step(action) ?? {};
      rollout.actions[at] = action;
      rollout.logProbabilities[at] = logProbability;
      rollout.nextStates.set(next ?? [], 4 * at);
      rollout.failed[at] = failed ? 1 : 0;
      rollout.ended[at] = typeof episodeReturn === "number" ? 1 : 0;
      if (typeof episodeReturn === "number") rollout.episodeReturns.push(episodeReturn);
    }
  }
  return rollout;
}

function chooseActions(actor: Actor, states: Float32Array): { readonly action: number; readonly logProbability: number }[] {
  const scores = tf.tidy(() => tf.logSoftmax(actor.policy.apply(tf.tensor2d(states, [ENVIRONMENTS, 4])) as tf.Tensor).dataSync());
  return Array.from({ length: ENVIRONMENTS }, (_, index) => {
    const [left = 0, right = 0] = scores.subarray(2 * index, 2 * index + 2);
    return actor.chance() < Math.exp(left) ? { action: 0, logProbability: left } : { action: 1, logProbability: right };
  });
}
