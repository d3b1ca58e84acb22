/**
 * A model for the fixture that goes wrong on one rank, as `RANKCAST_TEST_FAULT=<fault>@<rank>` says: what user code on a cluster does.
 */
import { Module, Parameter } from "@rankcast/core";
import type { ReplicaContext } from "@rankcast/worker";
import { createReplica as createFixtureModel } from "./fixture-model.js";

/** Builds the fixture's model, or fails in the ordered way. */
export async function createReplica(context: ReplicaContext): Promise<Module> {
  const [fault = "", rank = ""] = (process.env["RANKCAST_TEST_FAULT"] ?? "").split("@");
  const model = createFixtureModel();
  if (Number(rank) !== context.rank) return model;
  switch (fault) {
    case "other-shape": {
      const head = new Module();
      head.registerParameter("weight", Parameter.meta("float32", [1000, 3]));
      head.registerParameter("bias", Parameter.meta("float32", [1000]));
      model.registerModule("fc", head);
      return model;
    }
    case "throw":
      throw new TypeError("cannot read properties of undefined (reading 'layers')");
    case "hang-while-building":
      process.stderr.write(`rank ${rank} hangs\n`);
      return new Promise(() => setInterval(() => undefined, 1000));
    case "kill-while-building":
      process.kill(process.pid, "SIGKILL");
      return new Promise(() => undefined);
    case "kill-while-loading":
      model.registerLoadPreHook(() => process.kill(process.pid, "SIGKILL"));
      return model;
    case "exit-while-building":
      return process.exit(7);
    case "leave-while-building":
      return process.exit(0);
    case "exit-while-loading":
      model.registerLoadPreHook(() => process.exit(7));
      return model;
    case "throw-while-loading":
      model.registerLoadPreHook(() => {
        throw new RangeError("no room for optimizer state");
      });
      return model;
    case "not-a-module":
      return { weights: [] } as unknown as Module;
    default:
      throw new Error(`unknown fault ${fault}`);
  }
}
