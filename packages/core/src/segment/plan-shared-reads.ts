/** Whether the nodes of a job read weights together, each a part. */
import type { ReadStats } from "../source/counting-source.ts";
import { planStripes, type StripedWeights, type StripePlan } from "./plan-stripes.ts";

/** What the headers may cost all nodes together, of the bytes that are brought. */
const HEADERS_SHARE_MAX = 1 / 8;

/** Null when one node should read: the parts cannot be put together, or do not pay. */
export function planSharedReads(opened: StripedWeights & { origin(): ReadStats }, nodeCount: number): StripePlan | null {
  // Each node reads the headers, and those of thousands of small records are half of the file.
  const pays = opened.origin().bytesRead * nodeCount <= opened.plan.copiedBytes * HEADERS_SHARE_MAX;
  return pays ? planStripes(opened) : null;
}
