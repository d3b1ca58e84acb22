/** Arguments and options of wrong types in collectives, pools and coordinators: a typed rejection at once, never a wait for somebody who will not come. */

import { startCoordinator } from "@rankcast/coordinator";
import { Module, Parameter, StateDict } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { FIXTURES } from "../../support/fixtures.js";

const CHECKPOINT = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;

// biome-ignore lint/suspicious/noExplicitAny: these tests stand for programs without types.
type Untyped = any;

function model(): Module {
  const module = new Module();
  module.registerParameter("weight", Parameter.meta("float32", null));
  return module;
}

describe("wrong arguments of groups", function () {
  this.timeout(60_000);

  it("loads, updates and publications name what is wrong", async () => {
    await using group = await joinGroup({ environment: {} });
    const untyped = group as Untyped;
    for (const options of [
      { offline: "no" },
      { digest: 1 },
      { schemes: 3 },
      { headers: { a: 1 } },
      { subtree: 3 },
      { limits: 10n },
      null,
    ]) {
      await expectError("RANKCAST_USAGE", () => untyped.loadModelCheckpoint(model(), CHECKPOINT, options));
    }
    for (const wrong of [null, 3, "x", {}]) await expectError("RANKCAST_USAGE", () => untyped.loadModelCheckpoint(wrong, CHECKPOINT));
    for (const weights of [null, 3, 10n, {}]) await expectError("RANKCAST_USAGE", () => untyped.loadModelCheckpoint(model(), weights));
    // A source that is no rank would be waited for by everyone.
    for (const src of [1, -1, 0.5, "0", null]) await expectError("RANKCAST_USAGE", () => untyped.broadcastStateDict(null, { src }));
    for (const value of [0, "x", {}, undefined]) await expectError("RANKCAST_USAGE", () => untyped.broadcastStateDict(value));
    await expectError("RANKCAST_USAGE", () => untyped.broadcastStateDict(new StateDict(), { version: 3 }));
    for (const value of [null, "x", {}, new Map()]) await expectError("RANKCAST_USAGE", () => untyped.publish(value));
    for (const directory of [null, 3, {}]) await expectError("RANKCAST_USAGE", () => untyped.save(directory));
    for (const directory of [null, 3, {}]) await expectError("RANKCAST_USAGE", () => untyped.resume(directory));
    for (const options of [null, { pollMs: "1" }, { incompleteAfterMs: 0 }, { onIncomplete: 3 }, { onlyNew: "no" }, { offline: 1 }]) {
      await expectError("RANKCAST_USAGE", async () => untyped.watch("runs", options));
    }
    await expectError("RANKCAST_USAGE", async () => untyped.watch(3));
    for (const timeoutMs of [0, -1, "5", Number.NaN]) await expectError("RANKCAST_USAGE", () => untyped.barrier("b", { timeoutMs }));
  });

  it("what cannot travel does not end the connection", async () => {
    await using group = await joinGroup({ environment: {} });
    for (const value of [() => 1, Symbol("s"), 10n]) await expectError("RANKCAST_USAGE", () => group.allGather(value));
    expect(await group.allGather(undefined)).to.deep.equal([null]);
    expect(await group.allGather({ here: [1] })).to.deep.equal([{ here: [1] }]);
  });

  it("pools and their calls name what is wrong", async () => {
    await using group = await joinGroup({ environment: {} });
    const untyped = group as Untyped;
    for (const options of [null, { replica: 3 }, { replicas: "2" }, { replicas: Symbol("s") }, { resourceLimits: 3 }, { restart: 10n }]) {
      await expectError("RANKCAST_USAGE", () => untyped.createPool(options));
    }
    const pool = (await group.createPool({ replicas: 1 })) as Untyped;
    for (const name of [null, 3, {}, () => 1]) {
      await expectError("RANKCAST_USAGE", () => pool.run(name));
      await expectError("RANKCAST_USAGE", () => pool.call(name));
      await expectError("RANKCAST_USAGE", () => pool.runAll(name));
    }
    for (const options of [null, { replica: "0" }, { timeoutMs: -1 }, { signal: 3 }])
      await expectError("RANKCAST_USAGE", () => pool.run("act", 1, options));
    await expectError("RANKCAST_USAGE", () => pool.subscribe({ policy: "newest" }));
  });

  it("a group and a coordinator name what is wrong", async () => {
    for (const options of [null, { environment: 3 }, { coordinator: 3 }, { token: 3 }, { timeoutMs: "x" }]) {
      await expectError("RANKCAST_USAGE", () => joinGroup(options as Untyped));
    }
    const wrong = [
      null,
      {},
      { worldSize: 0 },
      { worldSize: "2" },
      { topology: { worldSize: 2, nodes: 2 } },
      { worldSize: 1, token: 3 },
      { worldSize: 1, metricsPort: -1 },
      { worldSize: 1, limits: { nosuch: 1 } },
      // Not this machine's alone.
      { worldSize: 1, bind: "0.0.0.0:0" },
    ];
    for (const options of wrong) await expectError("RANKCAST_USAGE", () => startCoordinator(options as Untyped));
  });

  it("a coordinator without its job's id: joinGroup asks for it, or is given it", async () => {
    await using coordinator = await startCoordinator({ topology: { worldSize: 1 } });
    const { address, token, jobId } = coordinator;
    const environment = { RANKCAST_RANK: "0", RANKCAST_WORLD_SIZE: "1" };
    const error = await expectError("RANKCAST_USAGE", joinGroup({ environment, coordinator: address, token }));
    expect(error.message).to.contain(address);
    expect(error.remedy).to.contain("jobId").and.to.contain("RANKCAST_JOB_ID");
    await expectError("RANKCAST_USAGE", joinGroup({ environment: { ...environment, RANKCAST_COORDINATOR: address }, token }));
    await expectError("RANKCAST_USAGE", joinGroup({ environment, coordinator: address, token, linkConnections: 0 }));
    await using group = await joinGroup({ environment, coordinator: address, token, jobId });
    await group.barrier("there");
  });

  it("a coordinator's own options are what loads begin with", async () => {
    await using coordinator = await startCoordinator({ topology: { worldSize: 1 }, limits: { indexShards: 1 }, fetch: { offline: true } });
    const { address, token, jobId } = coordinator;
    const environment = { RANKCAST_RANK: "0", RANKCAST_WORLD_SIZE: "1", RANKCAST_JOB_ID: jobId };
    await using group = await joinGroup({ environment, coordinator: address, token });
    const sharded = `${FIXTURES}accepted/sharded/three_shards/model.safetensors.index.json`;
    await expectError("RANKCAST_LIMIT", () => group.loadModelCheckpoint(model(), sharded));
    await expectError("RANKCAST_OFFLINE", () => group.loadModelCheckpoint(model(), "http://127.0.0.1:9/none.pt"));
  });
});
