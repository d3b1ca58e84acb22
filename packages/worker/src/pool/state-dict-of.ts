/** What a replica's thread has exported, as a state dict of this one. */
import { StateDict, Storage, Tensor } from "@rankcast/core";
import type { ExportedTensor } from "../replica/replica-host.ts";

/** The tensors under their names; they own the memory they came in. */
export function stateDictOf(exported: readonly ExportedTensor[]): StateDict {
  return new StateDict(
    exported.map(({ name, dtype, shape, bytes }) => [
      name,
      new Tensor({ dtype, shape, storage: new Storage(bytes.buffer, 0, bytes.byteLength) }),
    ]),
  );
}
