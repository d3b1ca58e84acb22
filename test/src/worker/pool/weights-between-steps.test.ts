/** Published weights reach a busy replica at its next step, whether it knows the memory they are in or not. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { expect } from "chai";
import { ELEMENTS } from "../../scenario/replicas/wide-model.js";

const REPLICA = new URL("../../scenario/replicas/wide-model.js", import.meta.url);
/** More than a publisher has sets: some are new to the replica, some are not. */
const VERSIONS = 6;

describe("worker: published weights and steps that wait", function () {
  this.timeout(60_000);

  it("a version comes before the calls that were asked for earlier; until then replies say how many were newer", async () => {
    await using group = await joinGroup({ environment: {} });
    const pool = await group.createPool({ replica: REPLICA, replicas: 1 });
    await pool.update(weights(0));
    let taken = (): void => undefined;
    const subscription = pool.subscribe({ onUpdate: () => taken() });
    for (let version = 1; version <= VERSIONS; version += 1) {
      const flag = new Int32Array(new SharedArrayBuffer(4));
      const running = pool.call("whenTold", flag);
      const waiting = [pool.call("distinctValues"), pool.call("distinctValues")];
      const isTaken = new Promise<void>((resolve) => {
        taken = resolve;
      });
      await group.publish(weights(version), { version: `v${version}` });
      // Two calls, and the version before them.
      while ((pool.replicas[0]?.queued ?? 0) < 3) await nextTurn();
      const late = version === 1 ? pool.call("distinctValues") : null;
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
      expect(await running).to.include({ version: version === 1 ? "" : `v${version - 1}`, behind: 0 });
      for (const reply of await Promise.all([...waiting, ...(late ? [late] : [])])) {
        expect(reply, `version ${version}`).to.deep.include({ value: [version], version: `v${version}`, behind: 0 });
      }
      await isTaken;
    }
    expect(subscription.current).to.include({ version: `v${VERSIONS}`, behind: 0 });
  });

  it("a replica that is busy holds up no other", async () => {
    await using group = await joinGroup({ environment: {} });
    const pool = await group.createPool({ replica: REPLICA, replicas: 2 });
    await pool.update(weights(0));
    pool.subscribe();
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const busy = pool.call("whenTold", flag, { replica: 1 });
    await group.publish(weights(1), { version: "v1" });
    while ((pool.replicas[1]?.queued ?? 0) < 1) await nextTurn();
    const other = await pool.call("distinctValues", null, { replica: 0 });
    expect(other).to.deep.include({ value: [1], version: "v1", behind: 0 });
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
    await busy;
    expect(await pool.call("distinctValues", null, { replica: 1 })).to.deep.include({ value: [1], version: "v1" });
  });
});

function weights(value: number): StateDict {
  return new StateDict(["left", "right"].map((name) => [name, Tensor.from(new Float32Array(ELEMENTS).fill(value), [ELEMENTS])]));
}
