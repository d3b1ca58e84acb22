/** Loading a state dict into a module in one step. */
import { hostname } from "node:os";
import { checkOptionNames } from "../errors/option-names.ts";
import { LoadReport } from "../report/load-report.ts";
import { commitStateDict } from "./commit-state-dict.ts";
import type { StateDictLike } from "./draft-plan.ts";
import { LOAD_STATE_DICT_OPTIONS, type LoadStateDictOptions } from "./load-options.ts";
import type { Module } from "./module.ts";
import { planStateDict } from "./plan-state-dict.ts";
import type { StateDictPlan } from "./state-dict-plan.ts";

/**
 * torch's `load_state_dict`, synchronous and transactional: when it throws, model and inputs are as they were. Not strict unless asked, like
 * vis4d; loading nothing at all is an error even so.
 * @throws {StateDictError} as `planStateDict` and `commitStateDict`.
 * @throws {UsageError} RANKCAST_USAGE for a wrong option, RANKCAST_MODULE_NAME when `into` leads nowhere.
 */
export function loadStateDict(module: Module, stateDict: StateDictLike, options: LoadStateDictOptions = {}): LoadReport {
  checkOptionNames("loadStateDict", options, LOAD_STATE_DICT_OPTIONS);
  const plan = planStateDict(module, stateDict, options);
  commitStateDict(plan);
  return singleProcessReport(plan);
}

/** A report of one rank with one replica. */
function singleProcessReport(plan: StateDictPlan): LoadReport {
  const bytes = plan.planned.reduce((sum, { source, plan: each }) => sum + (each.fromCheckpoint ? source.nbytes : 0), 0);
  const rank = { rank: 0, localRank: 0, nodeRank: 0, host: hostname(), pid: process.pid, replicas: [plan.report] };
  return new LoadReport({ bytes, ranks: [rank] });
}
