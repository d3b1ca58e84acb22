/** Launches of real processes from this process. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { launch, launchExitCode } from "@rankcast/coordinator";
import { FormatError } from "@rankcast/core";
import { expect } from "chai";
import { createFolder, goneWithin, isAlive, linesOf, ranks, rejectionOf } from "./launch-support.ts";

describe("launch", function () {
  this.timeout(30_000);
  const folder = createFolder();
  after(() => folder.remove());

  it("resolves when every rank has ended with 0, and leaves nothing behind", async () => {
    const options = ranks(["print", "print", "exit:0"]);
    const result = await withTemporaryFolder(folder.path, () => launch(options));
    expect(result).to.deep.include({ exitCodes: [0, 0, 0], restarts: 0, logDir: null });
    expect(linesOf(options.events)).to.have.members([
      "stdout out 0 é",
      "stdout last 0",
      "stderr err 0",
      "stdout out 1 é",
      "stdout last 1",
      "stderr err 1",
    ]);
    expect(readdirSync(folder.path)).to.deep.equal([]);
    expect(options.events.filter(({ type }) => type === "spawned")).to.have.length(3);
  });

  it("gives ranks torchrun's variables and its own, and no secret of the guard", async () => {
    const file = join(folder.path, "environment");
    await launch(
      ranks([`environment:${file}`, `environment:${file}`], { role: "trainer", rdzvId: "job7", maxRestarts: 3, env: { MINE: "1" } }),
    );
    const lines = readFileSync(file, "utf8").trim().split("\n");
    const seen = lines.map((line) => JSON.parse(line)).sort((a, b) => a.env.RANK - b.env.RANK);
    expect(seen[1].env).to.include({
      ...{ RANK: "1", LOCAL_RANK: "1", GROUP_RANK: "0", WORLD_SIZE: "2", LOCAL_WORLD_SIZE: "2", GROUP_WORLD_SIZE: "1" },
      ...{ ROLE_NAME: "trainer", ROLE_RANK: "1", ROLE_WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500" },
      ...{ TORCHELASTIC_RUN_ID: "job7", TORCHELASTIC_RESTART_COUNT: "0", TORCHELASTIC_MAX_RESTARTS: "3", OMP_NUM_THREADS: "1", MINE: "1" },
      ...{ RANKCAST_RANK: "1", RANKCAST_NODE_COUNT: "1", RANKCAST_JOB_ID: "job7", TORCHELASTIC_USE_AGENT_STORE: "False" },
    });
    expect(seen[1].env).to.not.have.property("RANKCAST_GUARD_FD");
    expect(seen[1].env.TORCHELASTIC_ERROR_FILE).to.match(/job7_\w+\/attempt_0\/1\/error\.json$/);
  });

  it("rejects with the failing rank's own error, and ends the others", async () => {
    const options = ranks(["stay", "throw", "stay"]);
    const error = await rejectionOf(launch(options));
    expect(error).to.include({ code: "RANKCAST_RANK_FAILED", class: "peer", name: "DistributionError" });
    expect(error.message).to.match(/^rank 1 \(node 0, .*, pid \d+\) failed: TypeError: bad shape$/);
    expect(error.cause).to.include({ name: "TypeError", message: "bad shape" });
    expect(error).to.have.nested.property("cause.cause.message", "underneath");
    expect(error.details["rootCause"]).to.deep.include({ rank: 1, localRank: 1, nodeRank: 0, exitCode: 1, signal: null });
    expect(error.details["table"]).to.match(
      /FAILED\n-+\nFailures:\n {2}<NO_OTHER_FAILURES>\n.*rank {6}: 1 \(local_rank: 1\).*TypeError: bad shape\n {6}at /s,
    );
    expect(launchExitCode(error)).to.equal(1);
    const stopped = options.events.filter((event) => event.type === "exited" && event.stopped);
    expect(stopped).to.have.length(2);
    await goneWithin(
      options.events.flatMap((event) => (event.type === "spawned" ? event.rank.pid : [])),
      0,
    );
  });

  it("tells exit codes, signals and rejections apart", async () => {
    const exited = await rejectionOf(launch(ranks(["exit:7"])));
    expect(exited.message).to.match(/ended with exit code 7$/);
    const killed = await rejectionOf(launch(ranks(["stay", "kill"])));
    expect(killed).to.include({ code: "RANKCAST_RANK_LOST", class: "peer" });
    expect(killed.details["rootCause"]).to.deep.include({ rank: 1, exitCode: -9, signal: "SIGKILL" });
    expect(killed.details["table"]).to.match(
      /exitcode {2}: -9 \(pid: (\d+)\)\n {2}error_file: <N\/A>\n {2}traceback : Signal 9 \(SIGKILL\) received by PID \1\n/,
    );
    const rejected = await rejectionOf(launch(ranks(["reject"])));
    expect(rejected.message).to.include("RangeError: nobody caught this");
  });

  it("names the first of several failures", async () => {
    // Rank 0 hears of the end of rank 2 only afterwards, and fails too.
    const error = await rejectionOf(launch(ranks(["stay", "exit:3"])));
    expect(error.details["failures"]).to.have.length(1);
    expect(error.details["rootCause"]).to.include({ rank: 1 });
  });

  it("kills a rank that does not listen, after the grace time", async () => {
    const options = ranks(["stubborn", "polite", "stay"], { graceSeconds: "0.3" });
    const abort = new AbortController();
    const told = new Set<number>();
    const running = launch({
      ...options,
      signal: abort.signal,
      onEvent: (event) => {
        options.events.push(event);
        if (event.type === "output" && / stays$/.test(event.line) && told.add(event.rank.rank).size === 3) abort.abort(new Error("enough"));
      },
    });
    const error = await rejectionOf(running);
    expect(error).to.include({ code: "RANKCAST_CANCELLED", class: "cancelled" });
    expect(error).to.have.nested.property("cause.message", "enough");
    const ends = options.events.flatMap((event) => (event.type === "exited" ? [[event.rank.rank, event.exitCode]] : []));
    expect(ends).to.have.deep.members([
      [0, -9],
      [1, 0],
      [2, -15],
    ]);
    expect(linesOf(options.events)).to.include("stdout rank 0 ignores SIGTERM");
  });

  it("ends what a rank leaves behind, also when it ends well", async () => {
    const file = join(folder.path, "leftover");
    await launch(ranks([`parent:${file}:exit`]));
    expect(isAlive(Number(readFileSync(file, "utf8")))).to.equal(false);
  });

  it("restarts all ranks with a new epoch until it works, or restarts are used up", async () => {
    const epochs: number[] = [];
    const ended: number[] = [];
    const options = ranks(["flaky:2", "stay"], { maxRestarts: 2 });
    const result = await launch({
      ...options,
      args: ["flaky:2", "flaky:0"],
      beforeSpawn: ({ attempt, epoch }) => {
        epochs.push(epoch);
        return { env: { ATTEMPT: String(attempt) } };
      },
      afterAttempt: ({ attempt }) => void ended.push(attempt),
    });
    expect(result.restarts).to.equal(2);
    expect(ended).to.deep.equal([0, 1, 2]);
    expect(epochs).to.deep.equal([epochs[0], (epochs[0] ?? 0) + 1, (epochs[0] ?? 0) + 2]);
    expect(options.events.flatMap((event) => (event.type === "restarting" ? event.restartsLeft : []))).to.deep.equal([1, 0]);
    const error = await rejectionOf(launch(ranks(["flaky:9"], { maxRestarts: 1 })));
    expect(error.details["rootCause"]).to.deep.include({ exitCode: 5 });
  });

  it("ends an attempt when it is told of a failure elsewhere", async () => {
    const stop = new AbortController();
    const options = ranks(["stay"]);
    const running = launch({
      ...options,
      beforeSpawn: () => ({ stop: stop.signal, nodeRank: 1, localWorldSizes: [3, 1] }),
      onEvent: (event) => {
        if (event.type === "output") stop.abort(new FormatError("RANKCAST_LIMIT", "on the other node", { details: { rank: 0 } }));
        options.events.push(event);
      },
    });
    expect(await rejectionOf(running)).to.include({ code: "RANKCAST_LIMIT", message: "on the other node" });
    expect(linesOf(options.events)).to.deep.equal(["stdout rank 3 stays"]);
  });

  it("rejects with the error of a hook or listener, and leaves no rank", async () => {
    const failing = launch({ ...ranks(["stay"]), beforeSpawn: () => Promise.reject(new FormatError("RANKCAST_LIMIT", "no rendezvous")) });
    expect(await rejectionOf(failing)).to.include({ message: "no rendezvous" });
    const options = ranks(["stay"]);
    const listening = launch({
      ...options,
      onEvent: (event) => {
        options.events.push(event);
        if (event.type === "output") throw new FormatError("RANKCAST_LIMIT", "listener");
      },
    });
    expect(await rejectionOf(listening)).to.include({ message: "listener" });
    await goneWithin(
      options.events.flatMap((event) => (event.type === "spawned" ? event.rank.pid : [])),
      0,
    );
  });

  it("writes torchrun's log tree, and shows teed lines with their prefix", async () => {
    const shown = { stdout: new PassThrough(), stderr: new PassThrough() };
    const options = ranks(["print", "print", "print"], {
      logDir: join(folder.path, "logs"),
      rdzvId: "run:1",
      redirects: "1:3",
      tee: "0:3,2:1",
      output: shown,
    });
    const { logDir } = await launch({ ...options, localRanksFilter: "0,1" });
    expect(logDir).to.match(/logs\/run_1_\w{6}$/);
    const read = (path: string) => readFileSync(join(logDir ?? "", "attempt_0", path), "utf8");
    for (const rank of [0, 1]) {
      expect(read(`${rank}/stdout.log`)).to.equal(`out ${rank} é\nlast ${rank}`);
      expect(read(`${rank}/stderr.log`)).to.equal(`err ${rank}\n`);
    }
    expect(readdirSync(join(logDir ?? "", "attempt_0", "2"))).to.deep.equal(["stdout.log"]);
    expect(String(shown.stdout.read())).to.equal("[default0]:out 0 é\n[default0]:last 0\n");
    expect(String(shown.stderr.read())).to.equal("[default0]:err 0\n");
  });

  it("does not outrun a slow console, and loses nothing", async () => {
    let bytes = 0;
    const slow = new PassThrough({ highWaterMark: 1024 });
    slow.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      slow.pause();
      setImmediate(() => slow.resume());
    });
    await launch(ranks(["flood"], { output: { stdout: slow, stderr: new PassThrough() } }));
    expect(bytes + slow.readableLength).to.equal(5_000_000);
  });

  it("starts other programs than Node with noNode, and tells when they cannot be started", async () => {
    const options = ranks(["x"], {
      script: "/bin/sh",
      noNode: true,
      args: ["-c", "echo rank $RANK of $WORLD_SIZE $" + "{local_rank}; exit 4"],
      nprocPerNode: 1,
    });
    const error = await rejectionOf(launch(options));
    expect(linesOf(options.events)).to.deep.equal(["stdout rank 0 of 1 0"]);
    expect(error.details["rootCause"]).to.deep.include({ exitCode: 4 });
    const absent = await rejectionOf(launch(ranks(["x"], { script: "/no/such/program", noNode: true })));
    expect(absent.message).to.match(/could not be started: .*ENOENT/);
  });

  it("keeps the guard out of threads and processes that a rank starts", async () => {
    const options = ranks(["helpers"]);
    await launch(options);
    expect(linesOf(options.events)).to.deep.equal(["stdout thread 0, child says hello"]);
  });

  it("does not start when it is cancelled already", async () => {
    const error = await rejectionOf(launch(ranks(["stay"], { signal: AbortSignal.abort(new Error("no")) })));
    expect(error.code).to.equal("RANKCAST_CANCELLED");
  });

  it("keeps what was asked for when there is no log folder", async () => {
    // It would stay in the machine's folder after every run of the tests.
    const { logDir } = await withTemporaryFolder(folder.path, () => launch(ranks(["print"], { redirects: "3" })));
    expect(logDir?.startsWith(folder.path)).to.equal(true);
    expect(existsSync(join(logDir ?? "", "attempt_0", "0", "stdout.log"))).to.equal(true);
  });
});

/** Lets launches of this process put their temporary files elsewhere: other tests may run on this machine. */
async function withTemporaryFolder<T>(path: string, run: () => Promise<T>): Promise<T> {
  const before = process.env["TMPDIR"];
  process.env["TMPDIR"] = path;
  try {
    return await run();
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
}
