/** Codes of key rewriting, selection and loading into a module. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of key rewriting, selection and loading into a module. */
export const STATE_DICT_CODES = {
  RANKCAST_STATE_DICT_TYPE: {
    class: "state-dict",
    meaning: "The value given as state dict is no Map of names to tensors.",
    remedy: "Pass a StateDict (or a Map); an object becomes one with new StateDict(Object.entries(object)).",
  },
  RANKCAST_STATE_DICT_STRICT: {
    class: "state-dict",
    meaning: "A strict load found missing, unexpected or mismatched keys.",
    remedy: "Rename keys with revKeys, allow them with ignore, or load with strict: false.",
  },
  RANKCAST_STATE_DICT_MISMATCH: {
    class: "state-dict",
    meaning: "Keys that exist on both sides do not fit: shapes, element types or tied values differ.",
    remedy: "Check that checkpoint and model belong together; onMismatch: 'skip' loads the rest.",
  },
  RANKCAST_STATE_DICT_NOTHING_MATCHED: {
    class: "state-dict",
    meaning: "Not one key of the checkpoint was loaded, so the model would have stayed as it was initialised.",
    remedy: "Rename keys with revKeys, choose another part of the checkpoint with select or subtree, or check the file.",
  },
  RANKCAST_STATE_DICT_MIN_MATCHED: {
    class: "state-dict",
    meaning: "Fewer of the model's keys were loaded than minMatched asks for.",
    remedy: "Rename keys with revKeys, or lower minMatched.",
  },
  RANKCAST_STATE_DICT_STALE_PLAN: {
    class: "state-dict",
    meaning: "The model changed between planning and committing a load, or the plan was committed before.",
    remedy: "Plan again; nothing was changed.",
  },
  RANKCAST_STATE_DICT_COMMIT: {
    class: "state-dict",
    meaning: "Committing a load failed for a reason outside the data, for example in setExtraState or for want of memory.",
    remedy: "See the cause; details.restored tells whether the model is as it was.",
  },
  RANKCAST_STATE_DICT_HOOK: {
    class: "state-dict",
    meaning: "A load hook threw or returned a value.",
    remedy: "Correct the hook; hooks edit the lists they are given in place and return nothing.",
  },
  RANKCAST_MODULE_NAME: {
    class: "usage",
    meaning: "A parameter, buffer or child module has a name that is taken, empty or dotted, or a path leads nowhere.",
    remedy: "Use another name; nest modules instead of using dots.",
  },
  RANKCAST_MODULE_CYCLE: {
    class: "usage",
    meaning: "A module contains itself.",
    remedy: "Register each module under its owner only; sharing is fine, cycles are not.",
  },
  RANKCAST_PARAMETER_OPEN: {
    class: "state-dict",
    meaning: "The tensor of a parameter whose shape is still open was asked for.",
    remedy: "Load a state dict first; it fixes the shape.",
  },
  RANKCAST_MAP_LOCATION: {
    class: "usage",
    meaning: "A device that mapLocation names does not exist here, or mapLocation is of a wrong type.",
    remedy: "Use cpu, meta, shared or a device that an adapter registered.",
  },
  RANKCAST_KEY_UNKNOWN: {
    class: "state-dict",
    meaning: "The checkpoint has no tensor of this name.",
    remedy: "List the names with `rankcast inspect`, or use one of the nearest names.",
  },
  RANKCAST_REV_KEY_PATTERN: {
    class: "usage",
    meaning: "The pattern or the replacement of a rule in revKeys is not valid Python, or cannot be expressed here.",
    remedy: "Correct it; the message has Python's own words and the position.",
  },
  RANKCAST_REV_KEY_RUNAWAY: {
    class: "limit",
    meaning:
      "Matching a rule of revKeys against the keys took too long and was stopped; a pattern such as (a+)+b tries exponentially many ways.",
    remedy: "Rewrite the pattern so that no repeat contains another one, or raise the named limit (`--limit NAME=VALUE`).",
  },
  RANKCAST_REV_KEY_COLLISION: {
    class: "state-dict",
    meaning: "The rules in revKeys gave two keys the same name, so one tensor would have replaced the other.",
    remedy: "Correct the rule that the message names, or pass onCollision: 'last' to keep the last one as vis4d and mmengine do.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
