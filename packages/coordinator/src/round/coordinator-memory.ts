/** What the coordinator's own process takes. */
import type { MemoryMeter } from "@rankcast/core/runtime";

/** Proportional set size of the coordinator's process, null where the kernel does not tell: at the beginning of a load, and after it. */
export type CoordinatorMemory = Pick<MemoryMeter, "before" | "after">;
