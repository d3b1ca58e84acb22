/** A coordinator's node among the nodes of its job. */
import type { Topology } from "@rankcast/core/runtime";
import type { LiveNodes } from "../round/live-carriages.ts";
import type { OtherNodes } from "../round/other-nodes.ts";

/** Where this coordinator's node is in a job of several. */
export interface JobPlace {
  readonly nodeRank: number;
  readonly topology: Topology;
  readonly others: OtherNodes;
  readonly live: LiveNodes;
}
