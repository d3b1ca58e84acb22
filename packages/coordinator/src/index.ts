/** Public names of @rankcast/coordinator. */
export type { CoordinatorEvent } from "./node/node-coordinator.ts";
export { type Coordinator, type CoordinatorOptions, startCoordinator } from "./start-coordinator.ts";
/** Public names. */

// launch
export { launch } from "./launch/launch.ts";
export { launchExitCode } from "./launch/launch-error.ts";
export type { LaunchEvent, LaunchedRank, RankFailure } from "./launch/launch-event.ts";
export type { LaunchOptions, RunFlagValues, SpawnAttempt, SpawnSettings } from "./launch/launch-options.ts";
export type { LaunchResult } from "./launch/launch-run.ts";
export { RUN_FLAGS, type RunFlag, type RunFlagOption } from "./launch/run-flags.ts";
