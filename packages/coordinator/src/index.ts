/** Public names of @rankcast/coordinator. */

// coordinate
export type { CoordinatorOptions, CoordinatorTls, CoordinatorTopology } from "./coordinator-options.ts";
// launch
export { launchExitCode } from "./launch/launch-error.ts";
export type { LaunchEvent, LaunchedRank, RankFailure } from "./launch/launch-event.ts";
export type { RunFlagValues, SpawnAttempt, SpawnSettings } from "./launch/launch-options.ts";
export { RUN_FLAGS, type RunFlag, type RunFlagOption } from "./launch/run-flags.ts";
export { type LaunchJobOptions as LaunchOptions, type LaunchJobResult as LaunchResult, launch } from "./launch-job.ts";
export type { CoordinatorEvent } from "./node/coordinator-event.ts";
export type { CoordinatedNode } from "./rank-host.ts";
export { type Coordinator, startCoordinator } from "./start-coordinator.ts";
