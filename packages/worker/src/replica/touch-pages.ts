/** First touches, paid before the barrier instead of inside the first forward pass. */
import type { Module, Tensor } from "@rankcast/core";

const PAGE_BYTES = 4096;

/** Reads one byte of every page that the model's tensors lie on; returns their sum so that no compiler drops the reads. */
export function touchPages(model: Module): number {
  let sum = 0;
  for (const tensor of tensorsOf(model)) {
    if (tensor.isMeta) continue;
    const { storage } = tensor;
    const bytes = storage.bytes();
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) sum += bytes[at] ?? 0;
  }
  return sum;
}

function tensorsOf(model: Module): Iterable<Tensor> {
  return model.stateDict().values();
}
