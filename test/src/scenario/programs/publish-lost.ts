/**
 * Two ranks. Rank 1 kills rank 0, in whose process the coordinator is, and publishes in the same turn more versions than there are sets of memory, so that the
 * last one waits for a set which nobody is left to free. Prints how each ended, and one that came later.
 */
import { CheckpointError, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const VERSIONS = 17;
const codeOf = (error: unknown): string => (error instanceof CheckpointError ? error.code : String(error));

const group = await joinGroup();
const [coordinator] = await group.allGather(process.pid);
if (group.rank === 0) await group.barrier("never");
const stateDict = new StateDict([["weight", Tensor.from(new Float32Array(4), [4])]]);
process.kill(Number(coordinator), "SIGKILL");
const published = Array.from({ length: VERSIONS }, () => group.publish(stateDict).then(() => "published", codeOf));
const outcomes = await Promise.all(published);
const later = await group.publish(stateDict).then(() => "published", codeOf);
process.stdout.write(JSON.stringify({ outcomes, later }));
await group.close();
