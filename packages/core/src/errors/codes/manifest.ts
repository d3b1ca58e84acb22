/** Codes of walking a decoded checkpoint, choosing its state dict, and describing tensors. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of walking a decoded checkpoint, choosing its state dict, and describing tensors. */
export const MANIFEST_CODES = {
  RANKCAST_TREE_CYCLE: {
    class: "tensor",
    meaning: "A container of the state dict holds itself.",
    remedy: "Select the part of the checkpoint that holds the tensors, or save a state dict without cycles.",
  },
  RANKCAST_TENSOR_LAYOUT: {
    class: "tensor",
    meaning: "A tensor's shape, strides or offset are not a possible layout.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
  },
  RANKCAST_STORAGE_LAYOUT: {
    class: "tensor",
    meaning: "The pieces of a storage overlap, leave holes, or do not fit its size.",
    remedy: "Save the checkpoint again with the library that made it; the file contradicts itself.",
  },
  RANKCAST_NO_STATE_DICT: {
    class: "state-dict",
    meaning: "The checkpoint is no dict, so there is no state dict in it.",
    remedy: "Look at it with `rankcast inspect`; name the part to load with select if it holds one.",
  },
  RANKCAST_SELECT_PATH: {
    class: "state-dict",
    meaning: "The path given as select leads nowhere in the checkpoint, or to something that holds no tensors.",
    remedy: "Use one of the keys the message lists; keys are joined with dots.",
  },
  RANKCAST_SELECT_SUBTREE: {
    class: "state-dict",
    meaning: "No tensor of the state dict has the prefix given as subtree.",
    remedy: "Use one of the prefixes the message lists.",
  },
  RANKCAST_STATE_DICT_KEY: {
    class: "state-dict",
    meaning: "A key of the state dict is not a string.",
    remedy: "Select the part of the checkpoint that is a state dict, or save it with string keys.",
  },
  RANKCAST_STATE_DICT_COLLISION: {
    class: "state-dict",
    meaning: "Two tensors of the state dict have the same dotted name.",
    remedy: "Select a deeper part of the checkpoint, or save it with keys that differ.",
  },
  RANKCAST_MANIFEST_MALFORMED: {
    class: "protocol",
    meaning: "Bytes that should be an encoded manifest are not one.",
    remedy: "Use the same version of rankcast on every node.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
