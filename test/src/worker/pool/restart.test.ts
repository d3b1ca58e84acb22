/** A replica whose thread has ended comes back with the weights of the current generation; the others do not notice. */
import { readdirSync } from "node:fs";
import { StateDict, Tensor } from "@rankcast/core";
import type { ReplicaEvent } from "@rankcast/worker";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { poolBench, type TestPool, WEIGHTS } from "./pool-support.js";

const bias = (...values: number[]): StateDict => new StateDict([["fc.bias", Tensor.from(new Float32Array(values), [2])]]);
const weight = (value: number): StateDict => new StateDict([["fc.weight", Tensor.from(new Float32Array(6).fill(value), [2, 3])]]);

for (const [where, environment] of [
  ["mapped", {}],
  ["read (RANKCAST_NO_MMAP=1)", { RANKCAST_NO_MMAP: "1" }],
] as const) {
  describe(`pool: restarts, ${where}`, function () {
    this.timeout(60_000);
    const bench = poolBench(environment);

    async function crash(pool: TestPool, replica: number): Promise<void> {
      await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", 1, { replica }));
    }

    it("gives the checkpoint's values back; training of the others stays", async () => {
      const pool = await bench.createPool({ replicas: 3 });
      await pool.load(WEIGHTS, {});
      const loaded = await pool.run("values");
      const threads = await pool.runAll("thread");
      await pool.run("train", 7, { replica: 0 });
      await pool.run("train", 8, { replica: 1 });
      await crash(pool, 1);
      const generation = bench.group().generation;
      expect(await pool.restart(1)).to.deep.include({ replica: 1, state: "idle", restarts: 1, error: null });
      expect(bench.group().generation).to.equal(generation);
      expect(await pool.run("values", null, { replica: 1 }), "what was trained is not in the weights").to.deep.equal(loaded);
      expect(await pool.run("values", null, { replica: 2 })).to.deep.equal(loaded);
      expect((await pool.run("values", null, { replica: 0 })) as number[][]).to.deep.include([7, 7]);
      const after = await pool.runAll("thread");
      expect([after[0], after[2]]).to.deep.equal([threads[0], threads[2]]);
      expect(after[1]).to.not.equal(threads[1]);
      const report = await pool.load(WEIGHTS, { strict: false });
      expect(report.ranks[0]?.replicas.map(({ matched }) => matched)).to.deep.equal([2, 2, 2]);
    });

    it("a pool of one, whose replica writes its own buffers, too", async () => {
      const pool = await bench.createPool();
      await pool.load(WEIGHTS, {});
      const loaded = await pool.run("values");
      await pool.run("train", 3);
      await pool.restart(0);
      expect(await pool.run("values")).to.deep.equal(loaded);
      await pool.run("train", 4);
      await crash(pool, 0);
      await pool.restart(0);
      expect(await pool.run("values")).to.deep.equal(loaded);
    });

    it("repeats partial updates in order, and only the last of each kind", async () => {
      const pool = await bench.createPool({ replicas: 2 });
      await pool.load(WEIGHTS, {});
      const descriptors = openDescriptors();
      for (let step = 1; step <= 20; step += 1) {
        await pool.update(bias(step, -step));
        await pool.update(weight(step));
      }
      expect(openDescriptors() - descriptors, "two sets per layout, here and held for restarts").to.be.at.most(8);
      const values = await pool.run("values", null, { replica: 1 });
      expect(values).to.deep.equal([new Array(6).fill(20), [20, -20]]);
      await crash(pool, 0);
      await pool.restart(0);
      expect(await pool.run("values", null, { replica: 0 })).to.deep.equal(values);
      await pool.update(bias(1, 2));
      expect(await pool.runAll("values")).to.deep.equal([
        [new Array(6).fill(20), [1, 2]],
        [new Array(6).fill(20), [1, 2]],
      ]);
    });

    it("after updates whose segments are written in turn it has the last one's values", async () => {
      const pool = await bench.createPool({ replicas: 2 });
      await pool.load(WEIGHTS, {});
      const all = (value: number): StateDict => new StateDict([...weight(value), ...bias(value, value)]);
      const descriptors = openDescriptors();
      for (let step = 1; step <= 5; step += 1) {
        await pool.update(all(step));
        await pool.restart(step % 2);
        const values = [new Array(6).fill(step), [step, step]];
        expect(await pool.runAll("values"), `update ${step}`).to.deep.equal([values, values]);
      }
      await pool.run("train", 77, { replica: 0 });
      await pool.restart(1);
      await pool.update(all(9));
      expect(await pool.runAll("values")).to.deep.equal(new Array(2).fill([new Array(6).fill(9), [9, 9]]));
      expect(openDescriptors() - descriptors).to.be.below(8);
    });

    it("a round that failed is not repeated", async () => {
      const pool = await bench.createPool({ replicas: 2 });
      await pool.load(WEIGHTS, {});
      const loaded = await pool.run("values");
      const unmatched = new StateDict([["other", Tensor.from(new Float32Array(1), [1])]]);
      await expectError("RANKCAST_STATE_DICT_NOTHING_MATCHED", pool.update(unmatched));
      await pool.restart(1);
      expect(await pool.run("values", null, { replica: 1 })).to.deep.equal(loaded);
    });

    it("before the first load a restarted replica is as new", async () => {
      const pool = await bench.createPool({ replicas: 2 });
      await crash(pool, 0);
      await pool.restart(0);
      await pool.load(WEIGHTS, {});
      const [one, other] = (await pool.runAll("values")) as number[][][];
      expect(one).to.deep.equal(other);
    });

    it("a replica built from the checkpoint itself comes back whole", async () => {
      const pool = await bench.group().createPool({ replicas: 2 });
      await pool.load(WEIGHTS, {});
      const names = [...(await pool.stateDict({ replica: 0 })).keys()];
      await pool.restart(0);
      const stateDict = await pool.stateDict({ replica: 0 });
      expect([...stateDict.keys()]).to.deep.equal(names);
      const other = await pool.stateDict({ replica: 1 });
      for (const [name, tensor] of stateDict)
        expect(Buffer.compare(tensor.storage.bytes(), other.get(name)?.storage.bytes() ?? new Uint8Array())).to.equal(0);
      await pool.close();
    });
  });
}

describe("pool: restarts under live weights", function () {
  this.timeout(60_000);
  const bench = poolBench();

  it("a restarted replica has the version the others have; after the subscription the weights are gone, and it says so", async () => {
    const pool = await bench.createPool({ replicas: 2 });
    await pool.load(WEIGHTS, {});
    let took: (() => void) | undefined;
    const subscription = pool.subscribe({ policy: "every", onUpdate: () => took?.() });
    for (let version = 1; version <= 4; version += 1) {
      const taken = new Promise<void>((resolve) => {
        took = resolve;
      });
      await bench.group().publish(new StateDict([...weight(version), ...bias(version, version)]));
      await taken;
      await pool.restart(0);
      const values = [new Array(6).fill(version), [version, version]];
      expect(await pool.runAll("values")).to.deep.equal([values, values]);
    }
    await subscription.close();
    await expectError("RANKCAST_REPLICA_NOT_RELOADABLE", pool.restart(1));
    // A replica that lives is not given up for one that could not come back.
    const last = [new Array(6).fill(4), [4, 4]];
    expect(await pool.runAll("values")).to.deep.equal([last, last]);
  });
});

describe("pool: automatic restarts", function () {
  this.timeout(60_000);
  const bench = poolBench();

  it("calls that had not begun wait for the fresh replica; the one that ran is not repeated", async () => {
    const events: ReplicaEvent[] = [];
    const pool = await bench.createPool({ replicas: 2, restart: "automatic", onReplicaEvent: (event) => events.push(event) });
    await pool.load(WEIGHTS, {});
    const loaded = await pool.run("values");
    const lost = pool.run("exit", 5);
    const waiting = pool.run("values");
    await expectError("RANKCAST_REPLICA_CRASHED", lost);
    expect(pool.replicas[0]?.state).to.equal("restarting");
    expect(await waiting).to.deep.equal(loaded);
    expect(events.map(({ type }) => type)).to.deep.equal(["crashed", "restarted"]);
    expect(pool.replicas[0]).to.include({ state: "idle", restarts: 1, queued: 0 });
  });

  it("a replica that ends while idle is back for the next load", async () => {
    const pool = await bench.createPool({ replicas: 2, restart: "automatic" });
    await pool.load(WEIGHTS, {});
    const lost = pool.run("exit", 5, { replica: 1 });
    const update = pool.update(bias(9, 9));
    await expectError("RANKCAST_REPLICA_CRASHED", lost);
    await update;
    const values = (await pool.runAll("values")) as number[][][];
    expect(values.map((each) => each[1])).to.deep.equal([
      [9, 9],
      [9, 9],
    ]);
  });

  it("one that ends again and again is left after maxRestarts", async () => {
    const pool = await bench.createPool({ restart: "automatic", maxRestarts: 2 });
    for (let turn = 0; turn < 2; turn += 1) await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", turn));
    const last = await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", 9));
    expect(last.details).to.include({ threadExitCode: 9, begun: true });
    expect(pool.replicas[0]).to.include({ state: "crashed", restarts: 2 });
    expect((await expectError("RANKCAST_REPLICA_CRASHED", pool.run("echo"))).details).to.include({ begun: false });
    await pool.restart(0);
    expect(await pool.run("echo", 1)).to.equal(1);
  });

  it("a deadline restarts, too", async () => {
    const pool = await bench.createPool({ restart: "automatic" });
    await expectError("RANKCAST_REPLICA_DEADLINE", pool.run("loop", null, { timeoutMs: 100 }));
    expect(await pool.run("echo", "back")).to.equal("back");
  });
});

function openDescriptors(): number {
  return process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
}
