/** A pool between the steps of a round, driven by a group that the test plays. */
import { DEFAULT_LIMITS, StateDict, Tensor } from "@rankcast/core";
import {
  createMemorySegment,
  encodeManifest,
  flattenPlacements,
  type MemorySegment,
  manifestFromStateDict,
  nativeMemory,
  planLoad,
} from "@rankcast/core/runtime";
import { type ReplicaEvent, ReplicaPool } from "@rankcast/worker";
import { type Delivery, type PoolGroup, prepareDelivery } from "@rankcast/worker/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { REPLICA } from "./pool-support.js";

type Replicas = Parameters<PoolGroup<object>["load"]>[0];

describe("pool: between the steps of a round", function () {
  this.timeout(60_000);
  let pool: ReplicaPool<object>;
  let replicas: Replicas;
  const segments: MemorySegment[] = [];

  /** Weights as a coordinator would publish them; `fill` goes everywhere, or into the tensors with these names. */
  function weights(fill: number, names: readonly string[] = ["fc.weight", "fc.bias"]): Delivery {
    const stateDict = new StateDict(
      names.map((name): [string, Tensor] =>
        name === "fc.weight"
          ? [name, Tensor.from(new Float32Array(6).fill(fill), [2, 3])]
          : [name, Tensor.from(new Float32Array(2).fill(fill), [2])],
      ),
    );
    const { manifest, tensors } = manifestFromStateDict(stateDict);
    const plan = planLoad(manifest, DEFAULT_LIMITS);
    const made = plan.segments.map(({ nbytes }) => createMemorySegment(nbytes, nativeMemory(false)));
    segments.push(...made);
    plan.placements.forEach((placement, index) => {
      const [segment, tensor] = [made[placement?.segment ?? -1], tensors[index]];
      if (placement && segment && tensor)
        new Uint8Array(segment.buffer, placement.byteOffset, placement.nbytes).set(tensor.storage.bytes());
    });
    const placed = flattenPlacements(
      made.map((segment) => segment.publish()),
      plan.placements,
    );
    return prepareDelivery({ manifest: encodeManifest(manifest), placed, limits: {} }, 2, false);
  }

  async function makePool(events: ReplicaEvent[] = []): Promise<void> {
    const group: PoolGroup<object> = {
      rank: 0,
      localRank: 0,
      worldSize: 1,
      generation: 0,
      noMmap: false,
      // The replica set is what a round works with; the test takes it and plays the round.
      load: (given) => {
        replicas = given;
        return Promise.reject(new Error("played by the test"));
      },
      update: () => Promise.reject(new Error("played by the test")),
      subscribe: () => {
        throw new Error("played by the test");
      },
      poolClosed: () => undefined,
    };
    pool = await ReplicaPool.create(group, {
      replica: REPLICA,
      replicas: 2,
      restart: "automatic",
      onReplicaEvent: (event) => events.push(event),
    });
    await pool.load("", {}).catch(() => undefined);
  }

  afterEach(async () => {
    await pool.close();
    for (const segment of segments.splice(0)) segment.release();
  });

  const values = async (): Promise<unknown[]> => (await pool.runAll("values")).map((each) => new Set((each as number[][]).flat()));

  /** The values of each tensor, each once. */
  async function byName(): Promise<unknown[]> {
    const ofReplica = async (_: unknown, replica: number): Promise<unknown> =>
      Object.fromEntries([...(await pool.stateDict({ replica }))].map(([name, { data }]) => [name, [...new Set(data as Float32Array)]]));
    return Promise.all(Array.from({ length: pool.size }, ofReplica));
  }

  async function commit(delivery: Delivery, generation: number): Promise<void> {
    await replicas.prepare(delivery, {});
    await replicas.commit({ generation, version: "", number: null });
  }

  it("a replica that ends between prepare and commit fails the commit; its successor has the weights before", async () => {
    await makePool();
    await replicas.prepare(weights(1), {});
    await replicas.commit({ generation: 0, version: "", number: null });
    expect(await values()).to.deep.equal([new Set([1]), new Set([1])]);
    await replicas.prepare(weights(2), {});
    await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", 1, { replica: 0 }));
    // Waits for the fresh thread, which prepared nothing.
    const error = await expectError("RANKCAST_REPLICA_CRASHED", replicas.commit({ generation: 0, version: "", number: null }));
    expect(error.details).to.include({ replica: 0, begun: false });
    await replicas.rollBack();
    expect(await values()).to.deep.equal([new Set([1]), new Set([1])]);
    await replicas.prepare(weights(3), {});
    await replicas.commit({ generation: 0, version: "", number: null });
    expect(await values()).to.deep.equal([new Set([3]), new Set([3])]);
  });

  it("segments may be gone once everybody has attached: a restart has descriptors of its own", async () => {
    await makePool();
    await replicas.prepare(weights(4), {});
    for (const segment of segments.splice(0)) segment.release();
    await replicas.commit({ generation: 0, version: "", number: null });
    await pool.restart(1);
    expect(await values()).to.deep.equal([new Set([4]), new Set([4])]);
  });

  it("a commit that is taken back is not what a restart repeats", async () => {
    await makePool();
    await replicas.prepare(weights(1), {});
    await replicas.commit({ generation: 0, version: "", number: null });
    await replicas.prepare(weights(2), {});
    await replicas.commit({ generation: 0, version: "", number: null });
    await replicas.rollBack();
    await pool.restart(0);
    expect(await values()).to.deep.equal([new Set([1]), new Set([1])]);
  });

  it("an update of some names that is taken back leaves all others as they were, those of earlier such updates too", async () => {
    await makePool();
    await commit(weights(1), 0);
    await commit(weights(2, ["fc.weight"]), 1);
    await commit(weights(3, ["fc.bias"]), 2);
    await replicas.rollBack();
    expect(await byName()).to.deep.equal([
      { "fc.weight": [2], "fc.bias": [1] },
      { "fc.weight": [2], "fc.bias": [1] },
    ]);
    await pool.restart(0);
    expect(await byName()).to.deep.equal([
      { "fc.weight": [2], "fc.bias": [1] },
      { "fc.weight": [2], "fc.bias": [1] },
    ]);
    await commit(weights(4, ["fc.bias"]), 2);
    await commit(weights(5), 3);
    await replicas.rollBack();
    expect(await byName()).to.deep.equal([
      { "fc.weight": [2], "fc.bias": [4] },
      { "fc.weight": [2], "fc.bias": [4] },
    ]);
  });

  it("nothing is taken back of what was committed before the failed step began: values, labels, what a restart repeats", async () => {
    await makePool();
    await commit(weights(1), 0);
    await commit(weights(2), 1);
    await expectError("RANKCAST_STATE_DICT_STRICT", replicas.prepare(weights(3, ["fc.weight"]), { strict: true }));
    await replicas.rollBack();
    expect(await values()).to.deep.equal([new Set([2]), new Set([2])]);
    expect((await pool.call("values")).generation).to.equal(1);
    await pool.restart(0);
    expect(await values()).to.deep.equal([new Set([2]), new Set([2])]);
    expect((await pool.call("values")).generation).to.equal(1);
  });

  it("a replica that came back with a version that is taken back afterwards goes back, too", async () => {
    const events: ReplicaEvent[] = [];
    await makePool(events);
    await commit(weights(1), 0);
    await commit(weights(2), 1);
    await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", 1, { replica: 0 }));
    // Waits for the fresh thread.
    expect(await values()).to.deep.equal([new Set([2]), new Set([2])]);
    await replicas.rollBack();
    expect(await values()).to.deep.equal([new Set([1]), new Set([1])]);
    expect((await pool.call("values")).generation).to.equal(0);
    // And while it is still coming.
    await commit(weights(3), 1);
    await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", 1, { replica: 1 }));
    await replicas.rollBack();
    expect(await values()).to.deep.equal([new Set([1]), new Set([1])]);
    expect((await pool.call("values", undefined, { replica: 1 })).generation).to.equal(0);
  });

  it("a load that is discarded is not what a restart repeats", async () => {
    await makePool();
    await replicas.prepare(weights(1), {});
    await replicas.commit({ generation: 0, version: "", number: null });
    await replicas.prepare(weights(2), {});
    await replicas.discard();
    await pool.restart(1);
    expect(await values()).to.deep.equal([new Set([1]), new Set([1])]);
  });

  const LABEL = { generation: 0, version: "", number: null };

  /** Updates as a round brings them; those of `layout` come in sets that are kept. */
  function updates(
    layout: string,
    keys: readonly string[],
  ): { prepare(set: string, fill: number): Promise<void>; swap(set: string): Promise<unknown> } {
    const deliveries = new Map<string, Delivery>();
    return {
      prepare: async (set, fill) => {
        const delivery = weights(fill, keys);
        const reuse = { layout, set, known: "nothing" } as const;
        deliveries.set(set, { ...delivery, reuse, placed: { ...delivery.placed, reuse } });
        await replicas.prepare(deliveries.get(set) as Delivery, OPTIONS);
        await replicas.commit(LABEL);
      },
      swap: (set) => replicas.swap({ layout, set }, OPTIONS, () => expect.fail(`set ${set} of ${layout} was attached again`), LABEL),
    };
  }

  const OPTIONS = { revKeys: [], strict: false };
  const each = async (): Promise<unknown> => (await pool.runAll("values"))[0];

  it("sets of two layouts in turns are attached once; reports are those of the first swap", async () => {
    await makePool();
    const whole = updates("whole", ["fc.weight", "fc.bias"]);
    const bias = updates("bias", ["fc.bias"]);
    for (const [set, fill] of [
      ["a", 1],
      ["b", 2],
    ] as const) {
      await whole.prepare(set, fill);
      await bias.prepare(set, 10 * fill);
    }
    for (let turn = 0; turn < 3; turn += 1) {
      for (const [set, fill] of [
        ["a", 1],
        ["b", 2],
      ] as const) {
        expect(await whole.swap(set)).to.have.nested.property("[1].matched", 2);
        expect(await each()).to.deep.equal([Array(6).fill(fill), Array(2).fill(fill)]);
        const reports = await bias.swap(set);
        expect(reports).to.have.nested.property("[1].matched", 1);
        expect(reports).to.have.nested.property("[1].missing").deep.equal(["fc.weight"]);
        expect(await each()).to.deep.equal([Array(6).fill(fill), Array(2).fill(10 * fill)]);
        // The same report twice: the second time it does not cross threads.
        expect(await bias.swap(set)).to.deep.equal(reports);
      }
    }
    await pool.restart(0);
    expect(await each()).to.deep.equal([Array(6).fill(2), Array(2).fill(20)]);
  });
});
