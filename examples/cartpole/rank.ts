/** The program of every rank: rank 0 learns, the others play. Arguments: JSON of `CartPoleSettings`. */
import { writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { joinGroup, type RankGroup } from "@rankcast/worker";
import { Learner } from "./learner.ts";
import { type CurvePoint, renderCurve } from "./learning-curve.ts";
import { startTensorflow } from "./networks.ts";
import { PolicyVersions } from "./policy-versions.ts";
import type { Rollout } from "./rollout.ts";
import { RolloutServer, sendRollouts } from "./rollout-channel.ts";
import { seededChance } from "./seeded-chance.ts";
import type { CartPoleSettings } from "./settings.ts";

const REPLICAS = 2;
const STEPS = 32;
/** Episodes that the mean return is taken over, as in Gym's definition of solved. */
const EPISODES = 100;

const settings = JSON.parse(process.argv[2] ?? "{}") as CartPoleSettings;
await using group = await joinGroup();
if (group.rank === 0) await learn(group, settings);
else await act(group, settings);

async function learn(group: RankGroup, { weights, socketPath, updates, goal, curveFile, waits }: CartPoleSettings): Promise<void> {
  await startTensorflow();
  const server = new RolloutServer();
  await server.listen(socketPath);
  const learner = new Learner(seededChance(1));
  await group.loadModelCheckpoint(learner, weights, { strict: true });
  const versions = new PolicyVersions(learner.policyState());
  const curve: CurvePoint[] = [];
  const returns: number[] = [];
  const startMs = performance.now();
  for (let done = false, steps = 0; !done; ) {
    const { rollouts, answer } = await server.gather(group.worldSize - 1);
    const lag = versions.lagOf(rollouts);
    learner.train(rollouts);
    steps += rollouts.reduce((sum, rollout) => sum + rollout.actions.length, 0);
    returns.push(...rollouts.flatMap(({ episodeReturns }) => episodeReturns));
    returns.splice(0, returns.length - EPISODES);
    const meanReturn = returns.length === 0 ? null : returns.reduce((sum, value) => sum + value, 0) / returns.length;
    curve.push({ steps, meanReturn });
    done = curve.length >= updates || (returns.length === EPISODES && (meanReturn ?? 0) >= goal);
    versions.add(learner.policyState());
    if (waits) answer({ done });
    const publishStartMs = performance.now();
    if (waits) await group.broadcastStateDict(learner.policyState());
    else await group.publish(learner.policyState(), { version: `update ${curve.length}` });
    const publishMs = round(performance.now() - publishStartMs);
    if (!waits) answer({ done });
    const seconds = round((performance.now() - startMs) / 1000);
    process.stdout.write(`${JSON.stringify({ update: curve.length, steps, meanReturn, lag, publishMs, seconds })}\n`);
    // Training blocks the event loop: what was sent has to leave before it goes on.
    await setImmediate();
  }
  server.finish();
  await group.barrier("over");
  server.close();
  writeFileSync(curveFile, renderCurve(curve, goal));
}

async function act(group: RankGroup, { weights, socketPath, waits }: CartPoleSettings): Promise<void> {
  const pool = await group.createPool({ replica: new URL("./actor-replica.js", import.meta.url), replicas: REPLICAS });
  await pool.load(weights, { strict: true, ignore: { unexpected: ["value.*"] } });
  const subscription = waits ? null : pool.subscribe({ policy: "latest" });
  let answer = Promise.resolve({ done: false });
  for (let done = false; !done; ) {
    const rollouts = (await pool.runAll("play", STEPS)) as Rollout[];
    // One message is under way while the next is made: actors that do not wait for updates play while the learner trains.
    done = (await answer).done;
    if (!done) answer = sendRollouts(socketPath, group.rank, rollouts);
    if (waits && !done) {
      done = (await answer).done;
      await pool.update(null);
    }
  }
  await subscription?.close();
  await group.barrier("over");
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
