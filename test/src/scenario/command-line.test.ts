/** How the command behaves towards people and programs: exit codes, streams, help, plan, doctor. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateCheckpoint } from "@rankcast/bench/generated-checkpoint";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { expectFailure } from "../support/expect-failure.js";
import { FIXTURES } from "../support/fixtures.js";
import { originServer } from "../support/origin-server.js";

const CHECKPOINT = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
/** Many times what headers need: what is read beside them (a window of the file's end) must not grow with the file. */
const CHECKPOINT_BYTES = 32 * 2 ** 20;
const ESCAPE = /\u001b\[/;
const VERBS = ["load", "run", "inspect", "plan", "verify", "download", "convert", "diff", "cache ls", "doctor"];

describe("scenario: the command line", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();
  const origin = originServer();

  it("--help of the program and of every verb goes to stdout with exit code 0", async () => {
    const program = await sandbox().run(["--help"]);
    expect(program).to.include({ exitCode: 0, stderr: "" });
    for (const verb of VERBS) {
      expect(program.stdout).to.match(new RegExp(`^\\s+${verb.split(" ")[0]}\\b`, "m"));
      const help = await sandbox().run([...verb.split(" "), "--help"]);
      expect(help).to.include({ exitCode: 0, stderr: "" });
      expect(help.stdout).to.contain("--json");
    }
  });

  it("wrong usage is exit code 2, before any work", async () => {
    const wrong = [
      [],
      ["frobnicate"],
      ["load"],
      ["load", CHECKPOINT, "--no-such-flag"],
      ["load", CHECKPOINT, "--replicas-per-rank", "many"],
      ["load", CHECKPOINT, "--nproc-per-node", "0"],
      ["load", CHECKPOINT, "--assign", "perhaps"],
      ["load", CHECKPOINT, "--sha256", "xyz"],
      ["load", CHECKPOINT, "--rev-key", "no arrow"],
      ["load", CHECKPOINT, "--limit", "tensors=lots"],
      ["load", CHECKPOINT, "--limit", "tensors=1.5"],
      ["inspect", CHECKPOINT, "--limit", "tensorz=5"],
      ["convert", CHECKPOINT, join(sandbox().directory, "out.pt")],
    ];
    for (const args of wrong) {
      const { exitCode, stdout, stderr } = await sandbox().run(args);
      expect(exitCode, `${args.join(" ")}: ${stderr}`).to.equal(2);
      expect(stdout).to.equal("");
      expect(stderr).to.not.equal("");
      expect(stderr).to.not.match(/^\s+at .+:\d+:\d+\)?$/m);
    }
  });

  it("wrong usage is exit code 2 also where only a rank or the coordinator can tell; a program's own mistakes are not the launcher's", async () => {
    const wrong = [
      ["load", "foo://x.pth", "--nproc-per-node", "2"],
      ["inspect", "foo://x.pth"],
      ["load", CHECKPOINT, "--rev-key", "(=>x"],
      ["load", CHECKPOINT, "--tables", "/no/such/tables.json"],
    ];
    for (const args of wrong) expect(await sandbox().run(args), args.join(" ")).to.include({ exitCode: 2, stdout: "" });
    const script = join(sandbox().directory, "mistaken.mjs");
    writeFileSync(script, `throw Object.assign(new Error("foo:// is no scheme"), { class: "usage", code: "RANKCAST_SCHEME_UNKNOWN" });`);
    expect(await sandbox().run(["run", script])).to.include({ exitCode: 1 });
  });

  it("limits: a ratio may have decimals, a misspelled name gets the nearest one", async () => {
    expect(await sandbox().run(["inspect", CHECKPOINT, "--limit", "pickleValueRatio=1.75"])).to.include({ exitCode: 0 });
    for (const verb of ["inspect", "load"]) {
      const error = await expectFailure(await sandbox().run([verb, CHECKPOINT, "--limit", "pickelValueRatio=2", "--json"]), sandbox(), 2);
      expect(error.message).to.contain("pickelValueRatio");
      expect(error.remedy).to.contain("Did you mean pickleValueRatio");
    }
  });

  it("convert writes safetensors under no other format's name, and says what writes that", async () => {
    for (const name of ["out.pt", "OUT.PTH", "last.ckpt", "model.pth.tar", "a.npz", "a.gguf"]) {
      const output = join(sandbox().directory, name);
      const error = await expectFailure(await sandbox().run(["convert", CHECKPOINT, output, "--json"]), sandbox(), 2);
      expect(error.code).to.equal("RANKCAST_USAGE");
      expect(error.message).to.contain(name);
      expect(error.remedy?.includes("saveTorch")).to.equal(!/npz|gguf/.test(name));
      expect(existsSync(output)).to.equal(false);
    }
    for (const name of ["plain", "model.st", "v1.2"]) {
      const output = join(sandbox().directory, name);
      expect(await sandbox().run(["convert", CHECKPOINT, output]), name).to.include({ exitCode: 0 });
    }
  });

  it("--tables gives names and mirrors to every verb", async () => {
    const url = origin().serve("/r50.pth", readFileSync(CHECKPOINT));
    const tables = join(sandbox().directory, "tables.json");
    writeFileSync(
      tables,
      JSON.stringify({
        openMmlab: { "house/net": url },
        mirrors: [["http://nowhere.example/", new URL("/", url).href]],
      }),
    );
    for (const weights of ["open-mmlab://house/net", "http://nowhere.example/r50.pth"]) {
      const loaded = await sandbox().run(["load", weights, "--tables", tables, "--json"]);
      expect(loaded.exitCode, loaded.stderr).to.equal(0);
      const inspected = await sandbox().run(["inspect", weights, "--tables", tables]);
      expect(inspected.exitCode, inspected.stderr).to.equal(0);
    }
    writeFileSync(tables, JSON.stringify({ openmmlab: {} }));
    const refused = await expectFailure(await sandbox().run(["load", CHECKPOINT, "--tables", tables, "--json"]), sandbox(), 2);
    expect(refused.message).to.contain("tables.openmmlab must be one of torchvision, openMmlab, mmcls and mirrors");
  });

  it("wrong usage under --json is a document, too", async () => {
    const error = await expectFailure(await sandbox().run(["load", CHECKPOINT, "--assign", "perhaps", "--json"]), sandbox(), 2);
    expect(error.class).to.equal("usage");
    expect(error.message).to.contain("perhaps");
    const unknownFlag = await expectFailure(await sandbox().run(["load", CHECKPOINT, "--json", "--no-such-flag"]), sandbox(), 2);
    expect(unknownFlag.message).to.contain("--no-such-flag");
  });

  it("the report is a table on stdout; phases are plain lines on stderr when it is no terminal", async () => {
    const { exitCode, stdout, stderr } = await sandbox().run(["load", CHECKPOINT, "--nproc-per-node", "2"]);
    expect(exitCode, stderr).to.equal(0);
    expect(stdout).to.match(/9/);
    expect(stdout).to.contain("rank");
    expect(stdout + stderr).to.not.match(ESCAPE);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.length).to.be.at.least(1);
    expect(lines.length, stderr).to.be.below(12);
  });

  it("FORCE_COLOR colours errors, NO_COLOR and pipes do not", async () => {
    const missing = ["inspect", "/no/such/file.pt"];
    expect((await sandbox().run(missing, { env: { FORCE_COLOR: "1" } })).stderr).to.match(ESCAPE);
    expect((await sandbox().run(missing, { env: { NO_COLOR: "1" } })).stderr).to.not.match(ESCAPE);
    const plain = await sandbox().run(missing);
    expect(plain.exitCode).to.equal(1);
    expect(plain.stderr).to.not.match(ESCAPE);
    expect(plain.stderr).to.contain("/no/such/file.pt");
  });

  it("plan says what a load would do and reads no tensor bytes", async () => {
    const { path, bytes } = await generateCheckpoint(join(sandbox().directory, "model.pt"), CHECKPOINT_BYTES);
    const url = origin().serve("/model.pt", readFileSync(path));
    const { exitCode, stdout, stderr } = await sandbox().run(["plan", url, "--json"]);
    expect(exitCode, stderr).to.equal(0);
    const plan = JSON.parse(stdout);
    expect(plan.shards).to.deep.equal([{ name: url, bytes: plan.bytes, tensors: plan.tensors, owner: 0 }]);
    // One run for all records: what lies between them is not worth a request.
    expect(plan.reads).to.have.length(1);
    expect(plan.reads[0].nbytes).to.be.within(CHECKPOINT_BYTES, plan.bytes);
    expect(plan.owners).to.deep.equal([{ nodeRank: 0, bytes: plan.reads[0].nbytes }]);
    expect(origin().bodyBytes).to.be.below(bytes / 8);
    expect([plan.nodes, plan.broadcast]).to.deep.equal([1, null]);
    const local = await sandbox().run(["plan", path]);
    expect(local.exitCode, local.stderr).to.equal(0);
    expect(local.stdout).to.match(/33554432 bytes|32(\.0)? MiB/);
  });

  it("plan --nnodes says who reads what and who pulls from whom, as the head would", async () => {
    const { path, bytes } = await generateCheckpoint(join(sandbox().directory, "model.pt"), CHECKPOINT_BYTES);
    const url = origin().serve("/model.pt", readFileSync(path));
    const planOf = async (...flags: string[]) => {
      const { exitCode, stdout, stderr } = await sandbox().run(["plan", "--nnodes", "3", ...flags, "--json"]);
      expect(exitCode, stderr).to.equal(0);
      return JSON.parse(stdout);
    };
    // Too small for parts, or a file: one node reads, the others get the bytes from each other.
    for (const weights of [url, path]) {
      const { nodes, shards, owners, broadcast } = await planOf(weights);
      expect([nodes, shards[0].owner, owners.length, owners[0].nodeRank]).to.deep.equal([3, 0, 1, 0]);
      expect(broadcast).to.include({ shape: "chain", connections: 1 });
      expect(broadcast.pullsFrom).to.deep.equal([null, 0, 1]);
      expect(broadcast.chunks * broadcast.chunkBytes).to.be.within(CHECKPOINT_BYTES, 1.2 * CHECKPOINT_BYTES);
    }
    const parts = await planOf(url, "--limit", "stripeBytesMin=1000000");
    expect(parts.shards[0].owner).to.equal(null);
    expect(parts.broadcast.shape).to.equal("ring");
    expect(parts.broadcast.pullsFrom).to.deep.equal([2, 0, 1]);
    expect(parts.owners.map(({ nodeRank }: { nodeRank: number }) => nodeRank)).to.deep.equal([0, 1, 2]);
    expect(parts.owners.reduce((sum: number, each: { bytes: number }) => sum + each.bytes, 0)).to.equal(CHECKPOINT_BYTES);
    const each = await planOf(url, "--fetch", "once-per-node");
    expect(each.owners.map((owner: { bytes: number }) => owner.bytes)).to.deep.equal(Array(3).fill(each.reads[0].nbytes));
    expect([each.shards[0].owner, each.broadcast]).to.deep.equal([null, null]);
    expect(origin().bodyBytes).to.be.below(bytes / 8);
    const people = await sandbox().run(["plan", url, "--nnodes", "3"]);
    expect(people.stdout).to.match(/node 0 reads \d+ bytes; a chain of 3 nodes/);
    for (const wrong of ["0", "two", "70000"]) expect((await sandbox().run(["plan", url, "--nnodes", wrong])).exitCode, wrong).to.equal(2);
  });

  it("inspect without --digest reads headers only", async () => {
    const { path, bytes } = await generateCheckpoint(join(sandbox().directory, "model.pt"), CHECKPOINT_BYTES);
    const url = origin().serve("/model.pt", readFileSync(path));
    const { exitCode, stdout, stderr } = await sandbox().run(["inspect", url]);
    expect(exitCode, stderr).to.equal(0);
    expect(stdout).to.contain("module.layer.15.weight");
    expect(origin().bodyBytes).to.be.below(bytes / 8);
  });

  it("doctor looks at the machine and says what to do about problems", async () => {
    const { exitCode, stdout } = await sandbox().run(["doctor"]);
    expect(exitCode).to.equal(0);
    expect(stdout).to.contain(process.versions.node);
    expect(stdout).to.match(/^(ok|note) +limits/m);
    const json = await sandbox().run(["doctor", "--json"], { env: { RANK: "1" } });
    expect(json.exitCode).to.equal(1);
    const { findings } = JSON.parse(json.stdout) as { findings: { name: string; status: string; remedy?: string }[] };
    expect(findings.find(({ name }) => name === "launcher")).to.include({ status: "problem" });
    expect(findings.filter(({ status }) => status === "problem").every(({ remedy }) => remedy)).to.equal(true);
  });

  it("diff compares names as they stand, or as rev keys make them", async () => {
    const renamed = join(sandbox().directory, "renamed.safetensors");
    const converted = await sandbox().run(["convert", CHECKPOINT, renamed, "--rev-key", "^=>model."]);
    expect(converted.exitCode, converted.stderr).to.equal(0);
    const apart = await sandbox().run(["diff", CHECKPOINT, renamed, "--json"]);
    expect(apart.exitCode).to.equal(1);
    expect(JSON.parse(apart.stdout)).to.include({ equal: 0 });
    const alike = await sandbox().run(["diff", CHECKPOINT, renamed, "--json", "--rev-key", "^model\\.=>"]);
    expect(alike.exitCode, alike.stderr).to.equal(0);
    expect(JSON.parse(alike.stdout)).to.deep.include({ equal: 9, differences: [] });
  });

  it("inspect shows the names that rev keys give", async () => {
    const { exitCode, stdout, stderr } = await sandbox().run(["inspect", CHECKPOINT, "--json", "--rev-key", "^conv\\.=>stem."]);
    expect(exitCode, stderr).to.equal(0);
    const { tensors } = JSON.parse(stdout) as { tensors: { name: string }[] };
    expect(tensors.map(({ name }) => name)).to.include.members(["stem.weight", "stem.bias", "bn.weight"]);
    const collide = await sandbox().run(["inspect", CHECKPOINT, "--json", "--rev-key", "^.*$=>one"]);
    expect(collide.exitCode).to.equal(1);
    expect(collide.stderr).to.contain("RANKCAST_REV_KEY_COLLISION");
  });

  it("verify gives the SHA-256 of a file", async () => {
    const { exitCode, stdout, stderr } = await sandbox().run(["verify", CHECKPOINT, "--json"]);
    expect(exitCode, stderr).to.equal(0);
    expect(JSON.parse(stdout)).to.include({ sha256: createHash("sha256").update(readFileSync(CHECKPOINT)).digest("hex") });
  });

  it("rev keys and subtree decide what is loaded", async () => {
    const args = ["load", CHECKPOINT, "--json", "--replicas-per-rank", "0", "--rev-key", "^conv\\.=>stem."];
    const renamed = await sandbox().run(args);
    expect(renamed.exitCode, renamed.stderr).to.equal(0);
    expect(JSON.parse(renamed.stdout).ranks[0].replicas[0]).to.include({ matched: 9, renamed: 2 });
    const subtree = await sandbox().run(["load", CHECKPOINT, "--json", "--replicas-per-rank", "0", "--subtree", "bn."]);
    expect(subtree.exitCode, subtree.stderr).to.equal(0);
    expect(JSON.parse(subtree.stdout).ranks[0].replicas[0]).to.include({ matched: 5 });
  });
});
