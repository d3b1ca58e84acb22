/** Collective updates and a subscription of one pool: one after the other, and no second subscription. */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup, type ReplicaPool, type WeightSubscription } from "@rankcast/worker";
import { expect } from "chai";
import { ELEMENTS } from "../../scenario/replicas/wide-model.js";
import { expectError } from "../../support/expect-error.js";

const REPLICA = new URL("../../scenario/replicas/wide-model.js", import.meta.url);
const ROUNDS = 24;

describe("worker: updates and subscriptions take turns", function () {
  this.timeout(60_000);

  for (const [how, noMmap] of [
    ["mapped", {}],
    // Nothing is kept there: every update and every version is prepared and committed.
    ["read", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`${how}: both pass, whole, although neither waits for the other`, async () => {
      await using group = await joinGroup({ environment: noMmap });
      await using pool = await group.createPool({ replica: REPLICA, replicas: 2 });
      const failures: unknown[] = [];
      let taken = 0;
      const subscription = pool.subscribe({ onUpdate: () => (taken += 1), onError: (error) => failures.push(error) });
      for (let turn = 1; turn <= ROUNDS; turn += 1) {
        // Another layout each time: it must be attached and planned.
        await group.publish(weights(turn, turn % 2 === 0), { version: `published ${turn}` });
        await pool.update(weights(-turn, turn % 2 === 1));
        await expectWhole(pool);
      }
      await subscription.close();
      await pool.update(weights(7, false));
      expect(await pool.runAll("distinctValues")).to.deep.equal([[7], [7]]);
      expect(failures).to.deep.equal([]);
      expect(taken).to.be.at.least(1);
      expect(group.generation).to.equal(ROUNDS);
    });
  }

  it("a second subscription is refused until the first one is closed", async () => {
    await using group = await joinGroup({ environment: {} });
    await using pool = await group.createPool({ replica: REPLICA, replicas: 1 });
    const first: WeightSubscription = pool.subscribe();
    await expectError("RANKCAST_USAGE", () => pool.subscribe());
    await first.close();
    await pool.subscribe().close();
  });
});

/** Names in one order or the other. */
function weights(value: number, isReversed: boolean): StateDict {
  const names = isReversed ? ["right", "left"] : ["left", "right"];
  return new StateDict(names.map((name) => [name, Tensor.from(new Float32Array(ELEMENTS).fill(value), [ELEMENTS])]));
}

/** Every replica shows one update or one version. */
async function expectWhole(pool: ReplicaPool<never>): Promise<void> {
  for (const values of (await pool.runAll("distinctValues")) as number[][]) expect(values).to.have.length(1);
}
