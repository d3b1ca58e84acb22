/** Every way in which user code can end a replica's thread is a typed error soon, and nobody else notices. */
import { spawnSync } from "node:child_process";
import { type CheckpointError, StateDict, StateDictError, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { poolBench, WEIGHTS } from "./pool-support.js";

/** Far above what is needed (the bench measures that), far below every timeout in the product. */
const SOON_MS = 10_000;

describe("pool: crashes", function () {
  this.timeout(60_000);
  const bench = poolBench();
  const directory = temporaryDirectory();

  describe("while a call runs", () => {
    for (const [what, name, args, expected] of [
      ["process.exit", "exit", 3, { reason: "exit", threadExitCode: 3 }],
      ["an error that nobody catches", "throwLater", "subclass", { reason: "uncaught", threadExitCode: 1 }],
      ["a rejection that nobody catches", "throwLater", "rejection", { reason: "uncaught", threadExitCode: 1 }],
      ["a thrown symbol that nobody catches", "throwLater", "symbol", { reason: "uncaught", threadExitCode: 1 }],
    ] as const) {
      it(`${what}`, async () => {
        const pool = await bench.createPool({ replicas: 2 });
        const startMs = performance.now();
        const error = await expectError("RANKCAST_REPLICA_CRASHED", pool.run(name, args, { replica: 1 }));
        expect(performance.now() - startMs).to.be.below(SOON_MS);
        expect(error.class).to.equal("worker");
        expect(error.details).to.include({ replica: 1, begun: true, ...expected });
        if (name === "throwLater" && args === "subclass")
          expect(error.cause).to.be.instanceOf(TypeError).and.to.include({ name: "ShapeError", axis: 2, message: "wrong shape" });
        if (name === "throwLater" && args === "symbol") expect(error.cause).to.equal(Symbol.for("thrown"));
        expect(pool.replicas.map(({ state }) => state)).to.deep.equal(["idle", "crashed"]);
        expect(await pool.run("echo", "fine", { replica: 0 })).to.equal("fine");
        const later = await expectError("RANKCAST_REPLICA_CRASHED", pool.run("echo", 1, { replica: 1 }));
        expect(later.details).to.include({ begun: false });
        expect(later.remedy).to.contain("pool.restart");
      });
    }

    it("out of memory", async () => {
      const pool = await bench.createPool({ replicas: 2, resourceLimits: { maxOldGenerationSizeMb: 64 } });
      const error = await expectError("RANKCAST_REPLICA_CRASHED", pool.run("outOfMemory", null, { replica: 0 }));
      expect(error.details).to.include({ reason: "out-of-memory", replica: 0 });
      expect(error.cause).to.include({ code: "ERR_WORKER_OUT_OF_MEMORY" });
      expect(await pool.run("echo", "fine", { replica: 1 })).to.equal("fine");
    });

    it("an endless loop ends at its deadline, and calls behind it were not begun", async () => {
      const pool = await bench.createPool({ replicas: 2, timeoutMs: 300 });
      const late = expectError("RANKCAST_REPLICA_DEADLINE", pool.run("loop"));
      const behind = expectError("RANKCAST_REPLICA_CRASHED", pool.run("echo", 1));
      const error = await late;
      expect(error.class).to.equal("worker");
      expect(error.details).to.include({ replica: 0, timeoutMs: 300 });
      const never = await behind;
      expect(never.details).to.include({ begun: false, reason: "deadline" });
      expect(await pool.run("echo", "fine", { replica: 1 })).to.equal("fine");
    });

    it("a deadline of one call overrides the pool's", async () => {
      const pool = await bench.createPool({ timeoutMs: 60_000 });
      await expectError("RANKCAST_REPLICA_DEADLINE", pool.run("loop", null, { timeoutMs: 100 }));
    });

    it("a thread in a system call cannot be ended: the call says so, and the process ends all the same", function () {
      if (process.platform === "win32") this.skip();
      const fifo = `${directory()}/fifo`;
      expect(spawnSync("mkfifo", [fifo]).status).to.equal(0);
      const program = new URL("../../scenario/programs/stuck.js", import.meta.url).pathname;
      const { status, stdout, stderr } = spawnSync(process.execPath, [program, fifo], { encoding: "utf8", timeout: 30_000 });
      expect(stderr).to.equal("");
      expect(JSON.parse(stdout)).to.include({ code: "RANKCAST_REPLICA_UNKILLABLE", class: "worker", other: "fine", restarted: "idle" });
      expect(status).to.equal(6);
    });
  });

  describe("while it is idle", () => {
    for (const what of ["ours", "rejection"]) {
      it(`an error that nobody catches (${what}) is told at once, and to the next call`, async () => {
        let told: ((error: CheckpointError) => void) | undefined;
        const crashed = new Promise<CheckpointError>((resolve) => {
          told = resolve;
        });
        const pool = await bench.createPool({ onReplicaEvent: (event) => event.type === "crashed" && told?.(event.error) });
        const channel = `crash-${what}-${process.pid}`;
        await pool.run("throwWhenTold", { what, channel });
        const teller = new BroadcastChannel(channel);
        teller.postMessage("now");
        const event = await crashed;
        teller.close();
        expect(event.details).to.include({ reason: "uncaught", begun: false });
        expect(pool.replicas[0]?.state).to.equal("crashed");
        expect(pool.replicas[0]?.error?.code).to.equal("RANKCAST_REPLICA_CRASHED");
        const error = await expectError("RANKCAST_REPLICA_CRASHED", pool.run("echo"));
        if (what === "rejection") expect(error.cause).to.be.instanceOf(RangeError);
        else
          expect(error.cause)
            .to.be.instanceOf(StateDictError)
            .and.to.deep.include({ details: { key: "fc" } });
      });
    }
  });

  describe("while replicas start", () => {
    it("one that throws: its error, and no thread stays", async () => {
      const error = await expectError("RANKCAST_REPLICA_MODULE", bench.createPool({ replicas: 3, options: { building: "throw" } }));
      expect(error.cause).to.be.instanceOf(RangeError);
    });

    it("one that exits is told although another hangs", async () => {
      const startMs = performance.now();
      const pool = bench.createPool({ replicas: 2, options: { building: "exit" }, startTimeoutMs: 600_000 });
      const error = await expectError("RANKCAST_REPLICA_CRASHED", pool);
      expect(error.details).to.include({ replica: 1, reason: "exit", threadExitCode: 7 });
      expect(performance.now() - startMs).to.be.below(SOON_MS);
    });

    for (const building of ["loop", "hang"] as const) {
      it(`one that does not come back (${building})`, async () => {
        const pool = bench.createPool({ replicas: 2, options: { building }, startTimeoutMs: 3000 });
        const error = await expectError("RANKCAST_REPLICA_START_TIMEOUT", pool);
        expect(error.details).to.include({ replica: 1, startTimeoutMs: 3000 });
      });
    }

    it("one that fills its heap", async () => {
      const resourceLimits = { maxOldGenerationSizeMb: 64 };
      const pool = bench.createPool({ replicas: 2, options: { building: "out-of-memory" }, resourceLimits });
      const error = await expectError("RANKCAST_REPLICA_CRASHED", pool);
      expect(error.details).to.include({ reason: "out-of-memory", replica: 1 });
    });
  });

  describe("in the middle of a collective", () => {
    for (const [loading, code] of [
      ["exit", "RANKCAST_REPLICA_CRASHED"],
      ["out-of-memory", "RANKCAST_REPLICA_CRASHED"],
      ["loop", "RANKCAST_REPLICA_DEADLINE"],
    ] as const) {
      it(`${loading}: the round fails with that replica as its cause, and nobody was touched`, async () => {
        const resourceLimits = { maxOldGenerationSizeMb: 64 };
        // Only the loop needs a deadline; filling a heap may take longer than any on a busy machine.
        const deadline = loading === "loop" ? { timeoutMs: 2000 } : {};
        const pool = await bench.createPool({ replicas: 2, ...deadline, options: { loading }, resourceLimits });
        const generation = bench.group().generation;
        const error = await expectError(code, pool.load(WEIGHTS, {}));
        expect(error.class).to.equal("worker");
        expect(error.details["rootCause"]).to.include({ rank: 0, code });
        expect(bench.group().generation).to.equal(generation);
        // A model without memory still has none: the surviving replica was not touched.
        await expectError("RANKCAST_REPLICA_FUNCTION", pool.run("values", null, { replica: 0 }));
      });
    }

    it("a crashed replica fails the next load with its crash, until it is restarted", async () => {
      const pool = await bench.createPool({ replicas: 2 });
      await expectError("RANKCAST_REPLICA_CRASHED", pool.run("exit", 1, { replica: 1 }));
      const error = await expectError("RANKCAST_REPLICA_CRASHED", pool.load(WEIGHTS, {}));
      expect(error.details).to.include({ replica: 1, begun: false });
      expect(await pool.restart(1)).to.include({ replica: 1, state: "idle", restarts: 1 });
      await pool.load(WEIGHTS, {});
      await pool.update(new StateDict([["fc.bias", Tensor.from(new Float32Array([5, 6]), [2])]]));
      expect(await pool.runAll("values")).to.have.length(2);
    });
  });
});
