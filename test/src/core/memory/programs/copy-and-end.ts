/** Copies 64 MiB with two helpers and comes to its end without closing anything. */
import { Tensor } from "@rankcast/core";
import { nativeMemory, TensorCopier } from "@rankcast/core/internal";

const copier = new TensorCopier(nativeMemory(false), 2);
const source = Tensor.from(new Float32Array(2 ** 24).fill(3), [2 ** 24]);
const target = Tensor.from(new Float32Array(2 ** 24), [2 ** 24]);
for (let turn = 0; turn < 20; turn += 1) copier.copy([{ target, source }]);
process.stdout.write(String(target.get(2 ** 24 - 1)));
