/** What runs in a replica's thread. Errors go back as records, because a rejection between threads keeps neither class nor code. */
import { parentPort } from "node:worker_threads";
import { DistributionError } from "@rankcast/core";
import { toErrorRecord } from "@rankcast/core/runtime";
import { callReplicaFunction, createModel, importReplicaModule } from "../replica/import-replica-module.ts";
import { rehearse } from "../replica/rehearse.ts";
import type { ReplicaModule } from "../replica/replica-context.ts";
import { ReplicaHost } from "../replica/replica-host.ts";
import { type PackedValue, packValue } from "./pack-value.ts";
import { type LastWords, REPEATED, type ThreadResult, type ThreadTask } from "./thread-tasks.ts";
import { unpackValue } from "./unpack-value.ts";

let host: ReplicaHost | null = null;
let userModule: ReplicaModule | null = null;
let rehearsed = false;

// Watches, does not catch: the thread ends as it would, but what ended it arrives with its class and fields.
process.on("uncaughtExceptionMonitor", (thrown: unknown) => {
  const lastWords = packThrown(thrown);
  if (lastWords) parentPort?.postMessage({ lastWords } satisfies LastWords);
});

/** Runs one task; never rejects. */
export async function runTask(task: ThreadTask): Promise<ThreadResult> {
  try {
    return { ok: true, value: await perform(task) };
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    const thrown = cause === undefined ? undefined : packThrown(cause);
    return { ok: false, error: toErrorRecord(error), ...(thrown ? { thrown } : {}) };
  }
}

async function perform(task: ThreadTask): Promise<unknown> {
  switch (task.type) {
    case "boot":
      rehearseOnce(task.noMmap);
      return null;
    case "start": {
      rehearseOnce(task.noMmap);
      userModule = task.module === null ? null : await importReplicaModule(task.module);
      host = new ReplicaHost(userModule && task.module !== null ? await createModel(userModule, task.module, task.context) : null);
      return null;
    }
    case "foresee":
      return started().ahead.foresee(started().model, task.foreseen, task.options);
    case "copyAhead":
      host?.ahead.copy(task.storages);
      return null;
    case "prepare":
      started().prepare(task.delivery, task.options);
      return null;
    case "castWish":
      return started().castWish(task.options);
    case "orderWish":
      return started().orderWish();
    case "commit":
      return started().commit(task.label);
    case "swap": {
      const swapped = started().swap(task.kept, task.label);
      return swapped?.isRepeated ? REPEATED : (swapped?.report ?? null);
    }
    case "rollBack":
      return host?.rollBack() ?? null;
    case "own":
      host?.own();
      return null;
    case "discard":
      host?.discard();
      return null;
    case "facts":
      return started().facts(task.digest);
    case "state":
      return started().exportState();
    case "call":
      return call(task.name, task.args);
  }
}

async function call(name: string, args: PackedValue): Promise<PackedValue> {
  const { model } = started();
  if (!userModule || !model) {
    throw new DistributionError("RANKCAST_REPLICA_FUNCTION", `there is no replica module to call ${name} of`, {
      remedy: "Give createPool a `replica` module that exports the function.",
    });
  }
  return packValue(await callReplicaFunction(userModule, name, model, unpackValue(args)), `the result of ${name}`);
}

/** A thrown value that can cross; nothing when it cannot (its text is in the error's message). */
function packThrown(thrown: unknown): PackedValue | undefined {
  try {
    return packValue(thrown, "what was thrown");
  } catch {
    return undefined;
  }
}

/** A thread that has booted before its replica was known has done it then. */
function rehearseOnce(noMmap: boolean): void {
  if (!rehearsed) rehearse(noMmap);
  rehearsed = true;
}

function started(): ReplicaHost {
  if (!host) throw new DistributionError("RANKCAST_REPLICA_CRASHED", "this thread holds no replica", {});
  return host;
}
