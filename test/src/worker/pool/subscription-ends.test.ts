/** What the end of a subscription leaves: weights that came otherwise are as they were, shared and ready to be loaded again. */
import { fileURLToPath } from "node:url";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { expect } from "chai";
import { ELEMENTS } from "../../scenario/replicas/wide-model.js";
import { commandSandbox } from "../../support/command-sandbox.js";
import { expectError } from "../../support/expect-error.js";
import { documentsOf } from "../../support/launch-ranks.js";
import { memoryRollup } from "../../support/process-table.js";

const REPLICA = new URL("../../scenario/replicas/wide-model.js", import.meta.url);
const UNATTACHED = fileURLToPath(new URL("../../scenario/programs/live-weights-unattached.js", import.meta.url));
const REPLICAS = 8;
/** Sets of memory that a publisher makes at most. */
const SETS_MAX = 16;

describe("worker: subscriptions that end", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();

  it("one that nothing came for: replicas go on sharing what an update gave them, and a restart loads it (Linux)", async function () {
    if (process.platform !== "linux") this.skip();
    await using group = await joinGroup({ environment: {} });
    await using pool = await group.createPool({ replica: REPLICA, replicas: REPLICAS });
    await pool.update(weights(1));
    await pool.update(weights(2));
    expect(await pool.runAll("distinctValues")).to.deep.equal(new Array(REPLICAS).fill([2]));
    const before = memoryRollup(process.pid).privateDirtyBytes;
    await pool.subscribe().close();
    // A copy per replica would be eight times the weights.
    expect(memoryRollup(process.pid).privateDirtyBytes - before).to.be.below(2 * weights(2).size * 4 * ELEMENTS);
    await pool.restart(0);
    expect(await pool.runAll("distinctValues")).to.deep.equal(new Array(REPLICAS).fill([2]));
  });

  it("one whose pool is closed: nothing fails, no step is waited for, and the publisher has its memory back", async () => {
    await using group = await joinGroup({ environment: {} });
    const failures: unknown[] = [];
    const flag = new Int32Array(new SharedArrayBuffer(4));
    for (const closed of ["pool", "group"] as const) {
      const pool = await group.createPool({ replica: REPLICA, replicas: 2 });
      await new Promise<unknown>((taken) => {
        pool.subscribe({ onUpdate: taken, onError: (error) => failures.push(error) });
        void group.publish(weights(1));
      });
      const endless = expectError("RANKCAST_CLOSED", pool.run("whenTold", flag));
      // Waits for the step that never ends.
      await group.publish(weights(2));
      await (closed === "pool" ? pool : group).close();
      await endless;
      // More than there are sets: none is left to a pool that is gone.
      for (let version = 0; closed === "pool" && version < 2 * SETS_MAX; version += 1) await group.publish(weights(version));
    }
    expect(failures).to.deep.equal([]);
  });

  it("one whose version cannot be attached: the update before it stays, in a restarted replica too (Linux: prlimit)", async function () {
    if (process.platform !== "linux") this.skip();
    const { ended } = sandbox().start([UNATTACHED], { env: { RANKCAST_NO_MMAP: "1" } });
    const [document] = documentsOf<{ readonly code: string; readonly after: unknown; readonly restarted: unknown }>([await ended]);
    expect(document?.code).to.not.equal("three");
    const two = { value: [2], replica: 0, generation: 1, version: "two", behind: 0 };
    expect(document?.after).to.deep.equal(two);
    expect(document?.restarted).to.deep.equal(two);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});

function weights(value: number): StateDict {
  return new StateDict(
    ["left", "right"].map((name): [string, Tensor] => [name, Tensor.from(new Float32Array(ELEMENTS).fill(value), [ELEMENTS])]),
  );
}
