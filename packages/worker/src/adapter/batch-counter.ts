/** The one entry of torch's batch normalisation that no other library has. */
import { Tensor } from "@rankcast/core";
import type { KeyedModule } from "@rankcast/core/runtime";

/** Lets the module at `path` keep the counter, so that a whole state dict goes in strictly and comes out again. */
export function registerBatchCounter(root: KeyedModule, path: string): void {
  const [owner] = root.ownerOf(path === "" ? "-" : `${path}.-`);
  owner.registerBuffer("num_batches_tracked", Tensor.from(new BigInt64Array(1), []));
}
