/** Public names of @rankcast/coordinator. */
export type { CoordinatorEvent } from "./node/node-coordinator.ts";
export { type Coordinator, type CoordinatorOptions, startCoordinator } from "./start-coordinator.ts";
