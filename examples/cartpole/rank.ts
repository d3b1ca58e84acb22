/** The program of every rank: rank 0 learns, the others play. Arguments: weights, socket, updates, goal, file for the curve. */
import { writeFileSync } from "node:fs";
import { digestStateDict } from "@rankcast/core";
import { joinGroup, type RankGroup } from "@rankcast/worker";
import { Learner } from "./learner.ts";
import { type CurvePoint, renderCurve } from "./learning-curve.ts";
import { startTensorflow } from "./networks.ts";
import type { Rollout } from "./rollout.ts";
import { RolloutServer, sendRollouts } from "./rollout-channel.ts";
import { seededChance } from "./seeded-chance.ts";

const REPLICAS = 2;
const STEPS = 32;
/** Episodes that the mean return is taken over, as in Gym's definition of solved. */
const EPISODES = 100;

const [weights = "", socketPath = "", updates = "", goal = "", curveFile = ""] = process.argv.slice(2);
await using group = await joinGroup();
if (group.rank === 0) await learn(group);
else await act(group);

async function learn(group: RankGroup): Promise<void> {
  await startTensorflow();
  const server = new RolloutServer();
  await server.listen(socketPath);
  const learner = new Learner(seededChance(1));
  await group.loadModelCheckpoint(learner, weights, { strict: true });
  const curve: CurvePoint[] = [];
  const recent: number[] = [];
  const startMs = performance.now();
  for (let done = false, steps = 0; !done; ) {
    const published = digestStateDict(learner.policyState());
    const { rollouts, answer } = await server.gather(group.worldSize - 1);
    requirePolicy(rollouts, published);
    learner.train(rollouts);
    steps += rollouts.reduce((sum, rollout) => sum + rollout.actions.length, 0);
    recent.push(...rollouts.flatMap(({ episodeReturns }) => episodeReturns));
    recent.splice(0, recent.length - EPISODES);
    const meanReturn = recent.length === 0 ? null : recent.reduce((sum, value) => sum + value, 0) / recent.length;
    curve.push({ steps, meanReturn });
    done = curve.length >= Number(updates) || (recent.length === EPISODES && (meanReturn ?? 0) >= Number(goal));
    answer({ done });
    const sentMs = performance.now();
    await group.broadcastStateDict(learner.policyState());
    const point = {
      update: curve.length,
      generation: group.generation,
      steps,
      meanReturn,
      updateMs: Math.round(performance.now() - sentMs),
    };
    process.stdout.write(`${JSON.stringify({ ...point, seconds: Math.round((performance.now() - startMs) / 100) / 10 })}\n`);
  }
  writeFileSync(curveFile, renderCurve(curve, Number(goal)));
  server.close();
}

/** Whole and new on every replica, or the learner would train on what another policy did. */
function requirePolicy(rollouts: readonly Rollout[], published: string): void {
  const strangers = rollouts.filter(({ policyDigest }) => policyDigest !== published);
  if (strangers.length > 0)
    throw new Error(`${strangers.length} of ${rollouts.length} replicas played with another policy than the published one`);
}

async function act(group: RankGroup): Promise<void> {
  const pool = await group.createPool({ replica: new URL("./actor-replica.js", import.meta.url), replicas: REPLICAS });
  await pool.load(weights, { strict: true, ignore: { unexpected: ["value.*"] } });
  for (let done = false; !done; ) {
    const rollouts = (await pool.runAll("play", STEPS)) as Rollout[];
    done = (await sendRollouts(socketPath, group.rank, rollouts)).done;
    await pool.update(null);
  }
}
