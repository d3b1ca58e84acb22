/** What a launcher imports (`@rankcast/coordinator/launcher`): `launch` without the coordinator itself, which it brings in once ranks are spawned. */
export { launchExitCode } from "./launch/launch-error.ts";
export type { RunFlagValues } from "./launch/launch-options.ts";
export { RUN_FLAGS, type RunFlag } from "./launch/run-flags.ts";
export { launch } from "./launch-job.ts";
export type { CoordinatorEvent } from "./node/coordinator-event.ts";
