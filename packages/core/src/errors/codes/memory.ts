/** Codes of tensors and shared memory. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of tensors and shared memory. */
export const MEMORY_CODES = {
  RANKCAST_TENSOR_BOUNDS: {
    class: "tensor",
    meaning: "A tensor's shape, strides or offset reach outside its storage.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
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
  RANKCAST_TENSOR_ITEM: { class: "tensor", meaning: "item() needs exactly one element.", remedy: "Use get(...index) or data." },
  RANKCAST_TENSOR_INDEX: { class: "tensor", meaning: "An index is outside the tensor.", remedy: "Check it against tensor.shape." },
  RANKCAST_TENSOR_DTYPE: {
    class: "tensor",
    meaning: "No dtype fits this typed array, or a cast between two dtypes is not defined.",
    remedy: "Pass a dtype that fits.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
