/** Proximal policy optimisation (Schulman et al., 2017) on rollouts, in TensorFlow.js. */
import { StateDict } from "@rankcast/core";
import { TfjsModule } from "@rankcast/worker/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import type { Sequential } from "@tensorflow/tfjs-layers";
import { createNetwork } from "./networks.ts";
import type { Rollout } from "./rollout.ts";

const DISCOUNT = 0.99;
/** How far advantages look ahead: 0 trusts the value network, 1 the returns. */
const TRACE = 0.95;
const CLIP = 0.2;
const ENTROPY_WEIGHT = 0.005;
const LEARNING_RATE = 1e-3;
const EPOCHS = 6;
const BATCH = 256;

/** What one state and its action are worth, flat over steps and environments. */
interface Judged {
  readonly advantages: Float32Array;
  readonly returns: Float32Array;
}

/** Policy and value network under torch's names. */
export class Learner extends TfjsModule {
  readonly #policy: Sequential;
  readonly #value: Sequential;
  readonly #optimizer = tf.train.adam(LEARNING_RATE, 0.9, 0.999, 1e-5);
  readonly #chance: () => number;

  constructor(chance: () => number) {
    const [policy, value] = [createNetwork("policy"), createNetwork("value")];
    super({ layers: [policy, value] });
    this.#policy = policy;
    this.#value = value;
    this.#chance = chance;
  }

  /** What the actors need: the policy alone, views of the variables as they are now. */
  policyState(): StateDict {
    return new StateDict([...this.stateDict()].filter(([name]) => name.startsWith("policy.")));
  }

  /** Improves both networks. */
  train(rollouts: readonly Rollout[]): void {
    const judged = rollouts.map((rollout) => this.#judge(rollout));
    const advantages = concat(judged.map((each) => each.advantages));
    const mean = advantages.reduce((sum, value) => sum + value, 0) / advantages.length;
    const deviation = Math.sqrt(advantages.reduce((sum, value) => sum + (value - mean) ** 2, 0) / advantages.length) + 1e-8;
    const samples = {
      states: concat(rollouts.map((each) => each.states)),
      actions: Float32Array.from(rollouts.flatMap((each) => [...each.actions])),
      logProbabilities: concat(rollouts.map((each) => each.logProbabilities)),
      advantages: advantages.map((value) => (value - mean) / deviation),
      returns: concat(judged.map((each) => each.returns)),
    };
    for (let epoch = 0; epoch < EPOCHS; epoch += 1) {
      const order = shuffled(advantages.length, this.#chance);
      for (let first = 0; first < order.length; first += BATCH) this.#step(samples, order.subarray(first, first + BATCH));
    }
  }

  /** Generalised advantage estimates (Schulman et al., 2016); a cut-off episode goes on in the eyes of the value network. */
  #judge({ environments, steps, states, nextStates, failed, ended }: Rollout): Judged {
    const count = steps * environments;
    const valuesOf = (input: Float32Array) =>
      tf.tidy(() => (this.#value.apply(tf.tensor2d(input, [count, 4])) as tf.Tensor).dataSync() as Float32Array);
    const [values, nextValues] = [valuesOf(states), valuesOf(nextStates)];
    const advantages = new Float32Array(count);
    for (let at = count - 1; at >= 0; at -= 1) {
      const surprise = 1 + DISCOUNT * (failed[at] ? 0 : (nextValues[at] ?? 0)) - (values[at] ?? 0);
      const later = ended[at] ? 0 : (advantages[at + environments] ?? 0);
      advantages[at] = surprise + DISCOUNT * TRACE * later;
    }
    return { advantages, returns: advantages.map((advantage, at) => advantage + (values[at] ?? 0)) };
  }

  #step(samples: Readonly<Record<string, Float32Array>>, rows: Int32Array): void {
    const pick = (name: string, width = 1) => {
      const from = samples[name] ?? new Float32Array();
      return Float32Array.from(
        { length: rows.length * width },
        (_, at) => from[(rows[Math.floor(at / width)] ?? 0) * width + (at % width)] ?? 0,
      );
    };
    tf.tidy(() => {
      const states = tf.tensor2d(pick("states", 4), [rows.length, 4]);
      const actions = tf.oneHot(tf.tensor1d(Int32Array.from(pick("actions")), "int32"), 2);
      const [before, advantages, returns] = [pick("logProbabilities"), pick("advantages"), pick("returns")].map((each) =>
        tf.tensor1d(each),
      );
      if (!before || !advantages || !returns) return;
      this.#optimizer.minimize(() => {
        const scores = tf.logSoftmax(this.#policy.apply(states) as tf.Tensor);
        const ratio = tf.exp(tf.sub(tf.sum(tf.mul(scores, actions), 1), before));
        const gain = tf.minimum(tf.mul(ratio, advantages), tf.mul(tf.clipByValue(ratio, 1 - CLIP, 1 + CLIP), advantages));
        const entropy = tf.neg(tf.sum(tf.mul(tf.exp(scores), scores), 1));
        const error = tf.squaredDifference(tf.reshape(this.#value.apply(states) as tf.Tensor, [-1]), returns);
        return tf.mean(tf.sub(tf.mul(error, 0.5), tf.add(gain, tf.mul(entropy, ENTROPY_WEIGHT)))) as tf.Scalar;
      });
    });
  }
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function shuffled(length: number, chance: () => number): Int32Array {
  const order = Int32Array.from({ length }, (_, index) => index);
  for (let at = length - 1; at > 0; at -= 1) {
    const other = Math.floor(chance() * (at + 1));
    [order[at], order[other]] = [order[other] ?? 0, order[at] ?? 0];
  }
  return order;
}
