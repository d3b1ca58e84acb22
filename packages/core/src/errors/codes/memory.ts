/** Codes of tensors and shared memory. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of tensors and shared memory. */
export const MEMORY_CODES = {
  RANKCAST_TENSOR_BOUNDS: {
    class: "tensor",
    meaning: "A tensor's shape, strides or offset reach outside its storage.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
  },
  RANKCAST_TENSOR_SHAPE: {
    class: "tensor",
    meaning: "A shape, or shape, strides and offset together, do not describe a tensor, or two shapes that must be equal are not.",
    remedy: "Compare the shapes in the message with tensor.shape and with the length of the array.",
  },
  RANKCAST_TENSOR_OVERLAP: {
    class: "tensor",
    meaning: "A tensor with several elements in one place of memory (a stride of 0) was the target of a copy.",
    remedy: "Copy into contiguous() memory of the target's shape instead of an expanded view.",
  },
  RANKCAST_SPARSE_PARTS: {
    class: "tensor",
    meaning:
      "The parts of a sparse tensor (indices, values, shape) do not fit each other, or an index is outside the shape or out of order.",
    remedy: "Save the tensor again; torch.sparse.check_sparse_tensor_invariants finds the fault where it was made.",
  },
  RANKCAST_TENSOR_META: {
    class: "tensor",
    meaning: "A tensor without bytes (meta device) was used as data.",
    remedy: "Load with real data (not mapLocation meta), or save the model after it was initialised.",
  },
  RANKCAST_TENSOR_ALIGNMENT: {
    class: "tensor",
    meaning: "A tensor's bytes are not aligned for a typed array of its dtype.",
    remedy: "Use contiguous(), which copies to aligned memory.",
  },
  RANKCAST_TENSOR_ITEM: {
    class: "tensor",
    meaning: "A tensor with more or fewer than one element was asked for its one value.",
    remedy: "Use get(...index) or data.",
  },
  RANKCAST_TENSOR_INDEX: { class: "tensor", meaning: "An index is outside the tensor.", remedy: "Check it against tensor.shape." },
  RANKCAST_TENSOR_DTYPE: {
    class: "tensor",
    meaning: "No dtype fits this typed array, or a cast between two dtypes is not defined.",
    remedy: "Pass a dtype that fits.",
  },
  RANKCAST_MEMORY_MAP: {
    class: "unsupported",
    meaning: "The kernel refused to map memory.",
    remedy: "Check limits (ulimit -v, vm.max_map_count) with `rankcast doctor`, or set RANKCAST_NO_MMAP=1 to read instead of mapping.",
  },
  RANKCAST_MEMORY_FULL: {
    class: "disk-full",
    meaning: "There is not enough shared memory for the checkpoint.",
    remedy: "Free memory or enlarge /dev/shm, or keep the checkpoint in rankcast's cache, where it is mapped without a copy.",
  },
  RANKCAST_STORAGE_TOO_LARGE: {
    class: "limit",
    meaning: "One storage is larger than one view of memory can show (4 GiB on Node 20).",
    remedy: "Save the tensor in smaller pieces, or read parts of it with openCheckpoint(...).slice.",
  },
  RANKCAST_SEGMENT_GONE: {
    class: "peer",
    meaning: "A shared memory segment cannot be opened any more; its owner has ended or its file was replaced.",
    remedy: "Look at the owner's own error: it failed first. For a file: do not replace checkpoints while they are being loaded.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
