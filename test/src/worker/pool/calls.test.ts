/** `pool.run`: queues, values, errors. */
import { type CheckpointError, StateDict, StateDictError, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { poolBench, WEIGHTS } from "./pool-support.js";

describe("pool: calls", function () {
  this.timeout(60_000);
  const bench = poolBench();

  it("run one after the other in a replica, and side by side in two", async () => {
    const pool = await bench.createPool({ replicas: 2 });
    const slow = pool.run("remember", { what: "slow", ms: 300 });
    const behind = pool.run("remember", { what: "behind", ms: 0 });
    let slowIsOver = false;
    void slow.then(() => {
      slowIsOver = true;
    });
    expect(pool.replicas.map(({ state, queued }) => [state, queued])).to.deep.equal([
      ["busy", 1],
      ["idle", 0],
    ]);
    expect(await pool.run("remember", { what: "other", ms: 0 }, { replica: 1 })).to.deep.equal(["other"]);
    expect(slowIsOver).to.equal(false);
    expect(await behind).to.deep.equal(["slow", "behind"]);
  });

  it("a queue has a bound, and a call can leave it", async () => {
    const pool = await bench.createPool({ maxQueue: 2 });
    const running = pool.run("remember", { what: 1, ms: 300 });
    const cancel = new AbortController();
    const waiting = [pool.run("remember", { what: 2, ms: 0 }), pool.run("remember", { what: 3, ms: 0 }, { signal: cancel.signal })];
    const error = await expectError("RANKCAST_REPLICA_QUEUE_FULL", pool.run("remember", { what: 4, ms: 0 }));
    expect(error.details).to.include({ replica: 0, allowed: 2 });
    cancel.abort(new Error("changed my mind"));
    const cancelled = await expectError("RANKCAST_CANCELLED", waiting[1] ?? Promise.resolve());
    expect(cancelled.cause).to.be.instanceOf(Error).and.to.include({ message: "changed my mind" });
    expect(await pool.run("remember", { what: 5, ms: 0 })).to.deep.equal([1, 2, 5]);
    await running;
    await expectError("RANKCAST_CANCELLED", pool.run("echo", 1, { signal: AbortSignal.abort() }));
  });

  it("a cancelled call that runs rejects at once; the replica finishes it and goes on", async () => {
    const pool = await bench.createPool();
    const cancel = new AbortController();
    const running = pool.run("remember", { what: "x", ms: 200 }, { signal: cancel.signal });
    cancel.abort();
    await expectError("RANKCAST_CANCELLED", running);
    expect(await pool.run("remember", { what: "y", ms: 0 })).to.deep.equal(["x", "y"]);
  });

  it("arguments and results keep their types", async () => {
    const pool = await bench.createPool();
    const value = {
      map: new Map<unknown, unknown>([["a", new Set([1n])]]),
      arrays: [new Float32Array([1.5]), new BigInt64Array([2n]), new Uint8Array([3])],
      symbol: Symbol.for("s"),
      error: new StateDictError("RANKCAST_STATE_DICT_STRICT", "no"),
    };
    const back = (await pool.run("echo", value)) as typeof value;
    expect(back.map).to.deep.equal(value.map);
    expect(back.arrays).to.deep.equal(value.arrays);
    expect(back.symbol).to.equal(value.symbol);
    expect(back.error).to.be.instanceOf(StateDictError);
    const tensor = Tensor.from(new Float32Array([1, 2]), [2]);
    const stateDict = new StateDict([["t", tensor]]);
    expect(await pool.run("classesOf", [tensor, stateDict, new Map(), new Int8Array(1)])).to.deep.equal([
      "Tensor",
      "StateDict",
      "Map",
      "Int8Array",
    ]);
    for (const simple of [undefined, null, 0, -0, Number.NaN, "", 5n, true]) expect(await pool.run("echo", simple)).to.deep.equal(simple);
  });

  it("views of mapped weights arrive as their own bytes, not as the whole mapping", async () => {
    const pool = await bench.createPool();
    await pool.load(WEIGHTS, {});
    const raw = (await pool.run("rawBias")) as Float32Array;
    expect(raw).to.be.instanceOf(Float32Array);
    const state = (await pool.run("state")) as StateDict;
    expect(state).to.be.instanceOf(StateDict);
    expect([...(state.get("fc.bias")?.toFloat32Array() ?? [])]).to.deep.equal([...raw]);
    raw.fill(99);
    expect((await pool.run("rawBias")) as Float32Array).to.not.deep.equal(raw);
  });

  it("what a function throws is the cause, with its class and fields", async () => {
    const pool = await bench.createPool();
    const causeOf = async (what: string): Promise<unknown> => {
      const error = await expectError("RANKCAST_REPLICA_FUNCTION", pool.run("fail", what));
      expect(error.details).to.include({ function: "fail" });
      return error.cause;
    };
    expect(await causeOf("type-error"))
      .to.be.instanceOf(TypeError)
      .and.to.include({ message: "wrong type" });
    expect(await causeOf("subclass"))
      .to.be.instanceOf(TypeError)
      .and.to.include({ name: "ShapeError", axis: 2 });
    const ours = await causeOf("ours");
    expect(ours).to.be.instanceOf(StateDictError).and.to.include({ code: "RANKCAST_STATE_DICT_STRICT" });
    expect((ours as CheckpointError).details).to.deep.equal({ key: "fc" });
    expect((ours as CheckpointError).cause).to.be.instanceOf(RangeError);
    const rich = (await causeOf("rich")) as AggregateError & { readonly step: bigint };
    expect(rich).to.be.instanceOf(AggregateError).and.to.include({ message: "rich", step: 5n });
    expect(rich.errors[0]).to.be.instanceOf(RangeError);
    expect(rich.cause).to.deep.equal({ at: new Date(7) });
    expect(await causeOf("symbol")).to.equal(Symbol.for("thrown"));
    expect(await causeOf("map")).to.deep.equal(new Map([["at", new Float32Array([1, 2])]]));
    expect(await causeOf("a text")).to.equal("a text");
    await expectError("RANKCAST_REPLICA_FUNCTION", pool.run("fail", "unprintable"));
    await expectError("RANKCAST_REPLICA_FUNCTION", pool.run("fail", "nothing"));
    expect(await pool.run("echo", "alive")).to.equal("alive");
  });

  it("a value that cannot cross is refused without harm to the replica", async () => {
    const pool = await bench.createPool();
    const there = await expectError("RANKCAST_REPLICA_VALUE", pool.run("echo", { call: () => 1 }));
    expect(there.message).to.contain('args."call" is a function');
    const back = await expectError("RANKCAST_REPLICA_VALUE", pool.run("giveFunction"));
    expect(back.message).to.contain('the result of giveFunction."inner"[0] is a function');
    expect(pool.replicas[0]?.state).to.equal("idle");
    expect(await pool.run("echo", 1)).to.equal(1);
  });

  it("names that are no functions of the module, and replicas that do not exist", async () => {
    const pool = await bench.createPool();
    for (const name of ["createReplica", "constructor", "__proto__", "toString", ""]) {
      await expectError("RANKCAST_REPLICA_FUNCTION", pool.run(name));
    }
    for (const replica of [1, -1, 0.5, Number.NaN]) await expectError("RANKCAST_USAGE", pool.run("echo", 1, { replica }));
    await expectError("RANKCAST_USAGE", pool.run("echo", 1, { timeoutMs: 0 }));
  });

  it("options that make no sense are refused before a thread starts", async () => {
    for (const options of [
      { replicas: 0 },
      { replicas: 1.5 },
      { startTimeoutMs: -1 },
      { timeoutMs: 2 ** 31 },
      { maxRestarts: -1 },
      { maxQueue: Number.NaN },
      { restart: "always" as "automatic" },
    ]) {
      const error = await expectError("RANKCAST_USAGE", bench.createPool(options));
      expect(error.details["option"]).to.equal(Object.keys(options)[0]);
    }
  });

  it("closing rejects what runs and what waits", async () => {
    const pool = await bench.createPool();
    const calls = [pool.run("loop"), pool.run("echo", 1)].map((call) => expectError("RANKCAST_CLOSED", call));
    await pool.close();
    await Promise.all(calls);
    await expectError("RANKCAST_CLOSED", pool.run("echo", 1));
    expect(pool.replicas[0]?.state).to.equal("closed");
  });

  it("64 replicas start at once, load, and hold the same", async function () {
    this.timeout(180_000);
    const pool = await bench.createPool({ replicas: 64, startTimeoutMs: 150_000 });
    const report = await pool.load(WEIGHTS, { digest: true });
    const digests = report.ranks[0]?.replicas.map(({ digest }) => digest) ?? [];
    expect(digests).to.have.length(64);
    expect(new Set(digests).size).to.equal(1);
    expect(new Set(await pool.runAll("thread")).size).to.equal(64);
    await pool.restart(63);
    expect(await pool.run("values", null, { replica: 63 })).to.deep.equal(await pool.run("values"));
  });
});
