/** Loads a user's replica module and calls its exports, with every failure typed. */
import { CheckpointError, DistributionError, Module } from "@rankcast/core";
import { describeThrown, quote } from "@rankcast/core/runtime";
import type { ReplicaContext, ReplicaModule } from "./replica-context.ts";

/**
 * Imports the module at `url`.
 * @throws {DistributionError} RANKCAST_REPLICA_MODULE when it cannot be imported or exports no `createReplica`.
 */
export async function importReplicaModule(url: string): Promise<ReplicaModule> {
  let exports: Record<string, unknown>;
  try {
    exports = (await import(url)) as Record<string, unknown>;
  } catch (cause) {
    throw moduleError(url, `cannot be imported: ${messageOf(cause)}`, cause);
  }
  if (typeof exports["createReplica"] !== "function") throw moduleError(url, "does not export a function createReplica", undefined);
  return exports as unknown as ReplicaModule;
}

/**
 * The model of one replica.
 * @throws {DistributionError} RANKCAST_REPLICA_MODULE when `createReplica` throws or returns no Module.
 */
export async function createModel(module: ReplicaModule, url: string, context: ReplicaContext): Promise<Module> {
  let model: unknown;
  try {
    model = await module.createReplica(context);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw moduleError(url, `createReplica threw: ${messageOf(cause)}`, cause);
  }
  if (!(model instanceof Module)) throw moduleError(url, "createReplica did not return a Module of @rankcast/core", undefined);
  return model;
}

/**
 * Calls an export by name with the replica's model.
 * @throws {DistributionError} RANKCAST_REPLICA_FUNCTION when there is no such function or it throws (the user's error is the cause).
 */
export async function callReplicaFunction(module: ReplicaModule, name: string, model: Module, args: unknown): Promise<unknown> {
  const target = Object.hasOwn(module, name) ? module[name] : undefined;
  if (typeof target !== "function" || name === "createReplica") {
    const known = Object.keys(module).filter((key) => typeof module[key] === "function" && key !== "createReplica");
    throw new DistributionError("RANKCAST_REPLICA_FUNCTION", `the replica module exports no function ${quote(name)}`, {
      details: { function: name.slice(0, 200), known },
      remedy: known.length > 0 ? `It exports: ${known.join(", ")}.` : "Export the function from the replica module.",
    });
  }
  try {
    return await (target as (model: Module, args: unknown) => unknown)(model, args);
  } catch (cause) {
    throw new DistributionError("RANKCAST_REPLICA_FUNCTION", `${name} threw: ${messageOf(cause)}`, { details: { function: name }, cause });
  }
}

function moduleError(url: string, what: string, cause: unknown): DistributionError {
  return new DistributionError("RANKCAST_REPLICA_MODULE", `replica module ${url} ${what}`, { details: { module: url }, cause });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : describeThrown(error);
}

/** Imports the module at `url` and builds its model in this thread. @throws {DistributionError} RANKCAST_REPLICA_MODULE as the two steps do. */
export async function createReplica(url: string, context: ReplicaContext): Promise<Module> {
  return createModel(await importReplicaModule(url), url, context);
}
