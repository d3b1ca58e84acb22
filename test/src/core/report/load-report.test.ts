/** Reports: texts, JSON and merging (semantics section H). */
import { LoadReport, type LoadReportFields, loadStateDict, mergeReports, type ReplicaReport, StateDict } from "@rankcast/core";
import { EMPTY_REPLICA_REPORT, toIncompatibleKeys, toTorchMessage } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { checkpoint, failureOf, linear, nest, ramp, withParameters } from "../module/models.ts";

function replica(parts: Partial<ReplicaReport>): ReplicaReport {
  return { ...EMPTY_REPLICA_REPORT, model: "Net", ...parts };
}

function reportOf(replicas: readonly ReplicaReport[]): LoadReport {
  return new LoadReport({ ranks: [{ rank: 0, localRank: 0, nodeRank: 0, host: "h", pid: 1, replicas }] });
}

describe("LoadReport", () => {
  it("H1: toVis4dMessage is vis4d's text: mismatches, unexpected, missing without batch counters", () => {
    const model = withParameters({ q: [3, 2], m1: [1], m2: [1], ok: [1], num_batches_tracked: [1] });
    const report = loadStateDict(model, checkpoint({ ok: [1], q: [4, 2], k1: [1], k2: [1] }), { defaultIgnores: false });
    expect(report.toVis4dMessage()).to.equal(
      "The model and loaded state dict do not match exactly\n\n" +
        "size mismatch for q: copying a param with shape torch.Size([4, 2]) from checkpoint, the shape in current model is torch.Size([3, 2]).\n" +
        "unexpected key in source state_dict: k1, k2\n\n" +
        "missing keys in source state_dict: m1, m2\n",
    );
    expect(loadStateDict(withParameters({ ok: [1] }), checkpoint({ ok: [1] })).toVis4dMessage()).to.equal("");
  });

  it("F18: toIncompatibleKeys is what torch's call returns, as Python prints it", () => {
    expect(toIncompatibleKeys(replica({ missing: ["a", "it's"], unexpected: ["both ' and \"", "back\\slash"] }))).to.equal(
      "_IncompatibleKeys(missing_keys=['a', \"it's\"], unexpected_keys=['both \\' and \"', 'back\\\\slash'])",
    );
    expect(toIncompatibleKeys(replica({}))).to.equal("<All keys matched successfully>");
    const ignored = replica({ ignored: 1, ignoredKeys: [{ key: "a", kind: "missing", rule: "a" }] });
    expect(toIncompatibleKeys(ignored)).to.equal("_IncompatibleKeys(missing_keys=[], unexpected_keys=[])");
  });

  it("F5: problems stand where torch lists them, between the mismatches", () => {
    const mismatch = (key: string) => ({ key, checkpoint: [1], model: [2] });
    const problem = (message: string, mismatchesBefore: number) => ({ key: "", message, fatal: false, mismatchesBefore });
    const text = toTorchMessage(replica({ mismatched: ["a", "b", "c"].map(mismatch), errors: [problem("one", 0), problem("two", 2)] }));
    expect(text.split("\n\t").map((line) => line.slice(0, 19))).to.deep.equal([
      "Error(s) in loading",
      "one",
      "size mismatch for a",
      "size mismatch for b",
      "two",
      "size mismatch for c",
    ]);
  });

  it("F9: lossy casts are rows of the table, others only counted", () => {
    const casts = [
      { key: "l.0.w", from: "float64", to: "float32", lossy: "rounding" },
      { key: "l.1.w", from: "float64", to: "float32", lossy: "rounding" },
      { key: "m", from: "float16", to: "float32", lossy: false },
    ] as const;
    const lines = reportOf([replica({ matched: 3, expected: 3, casts })])
      .toString()
      .split("\n");
    expect(lines[0]).to.equal("Net: 3/3 keys loaded, 3 cast");
    expect(lines.slice(2).map((line) => line.trim().split(/ {2,}/))).to.deep.equal([
      ["status", "key", "in checkpoint", "in model"],
      ["cast", "l.{0,1}.w", "float64", "float32 (rounding)"],
    ]);
  });

  it("H3: the report says what was loaded and what was not, and its JSON is the contract's", () => {
    const report = loadStateDict(nest({ a: linear(1, 1) }), checkpoint({ "a.weight": [1, 1], x: [1] }));
    expect([report.matched, report.missing, report.unexpected]).to.deep.equal([1, ["a.bias"], ["x"]]);
    const json = JSON.parse(JSON.stringify(report)) as LoadReportFields;
    expect(Object.keys(json)).to.deep.equal(
      "weights format generation bytes worldSize nodes origin segments ranks timings memory warnings".split(" "),
    );
    expect(json).to.deep.include({ worldSize: 1, nodes: 1, bytes: 4, format: "memory" });
    expect(json.ranks[0]).to.include.keys("rank", "localRank", "nodeRank", "host", "pid", "replicas");
    expect(json.ranks[0]?.replicas[0]).to.include.keys(
      "index matched missing unexpected mismatched casts renamed ignored adopted copied".split(" "),
    );
    expect(new LoadReport(json).toString()).to.equal(report.toString());
  });

  it("H6: only keys that differ alike share a row", () => {
    const model = withParameters({});
    for (const index of [0, 1, 2]) model.registerModule(String(index), withParameters({ w: index === 0 ? [4, 2] : [6, 2] }));
    const given = new StateDict([0, 1, 2].map((index) => [`${index}.w`, ramp(index === 0 ? [3, 2] : [5, 2])]));
    model.registerParameter("ok", linear(1, 1).ownParameters.get("bias") ?? null);
    given.set("ok", ramp([1]));
    const lines = loadStateDict(model, given).toString().split("\n");
    expect(lines[0]).to.equal("Net: 1/4 keys loaded, 3 mismatched");
    expect(lines.slice(1).map((line) => line.trim().split(/ {2,}/))).to.deep.equal([
      ["status", "key", "in checkpoint", "in model"],
      ["mismatch", "0.w", "[3, 2]", "[4, 2]"],
      ["mismatch", "{1,2}.w", "[5, 2]", "[6, 2]"],
    ]);
  });

  it("H7: counts first, then folded rows, then next steps", () => {
    const blocks = Object.fromEntries(Array.from({ length: 12 }, (_, at) => [String(at), nest({ attn: linear(1, 1) })]));
    const model = nest({ layers: nest(blocks), head: linear(1, 1) }, "Transformer");
    const given = new StateDict([
      ["head.weigth", ramp([1, 1])],
      ["head.bias", ramp([1])],
    ]);
    expect(loadStateDict(model, given).toString()).to.equal(
      [
        "Transformer: 1/26 keys loaded, 25 missing, 1 unexpected",
        "  status      key                        in checkpoint  in model",
        "  missing     layers.{0-11}.attn.weight",
        "  missing     layers.{0-11}.attn.bias",
        "  missing     head.weight",
        "  unexpected  head.weigth",
        "Next steps:",
        '  - the checkpoint\'s "head.weigth" is spelled almost like the missing "head.weight"',
      ].join("\n"),
    );
  });

  it("H8: the flag to paste is quoted for a shell", () => {
    const error = failureOf(() => loadStateDict(linear(1, 1), checkpoint({ "it's.weight": [1, 1], "it's.bias": [1] })));
    expect(error.message).to.include("2 more keys would match with --rev-key '^it'\\''s\\.=>'");
  });

  it("names what was loaded where, then the outcome, then warnings", () => {
    const lines = new LoadReport({
      weights: "w.pt",
      format: "torch-zip",
      bytes: 1536 * 1024,
      worldSize: 2,
      nodes: 1,
      timings: { startMs: 0, resolveMs: 0, fetchMs: 0, decodeMs: 0, broadcastMs: 0, verifyMs: 0, loadMs: 0, barrierMs: 0, totalMs: 1234 },
      ranks: [0, 1].map((rank) => ({
        rank,
        localRank: rank,
        nodeRank: 0,
        host: "h",
        pid: 1,
        replicas: [replica({ matched: 3, expected: 3 })],
      })),
      warnings: [{ code: "odd", message: "something odd" }],
    })
      .toString()
      .split("\n");
    expect(lines).to.deep.equal([
      "w.pt (torch-zip, 1.5 MiB) · 2 ranks, 2 replicas, 1 node · generation 0 · 1.23 s",
      "Net: 3/3 keys loaded",
      "<All keys matched successfully>",
      "warning: something odd",
    ]);
  });

  it("does not let names act on a terminal", () => {
    const text = reportOf([replica({ expected: 1, missing: ["a\u001b[2Jb"], unexpected: ["\u202eevil"] })]).toString();
    expect(text).to.include("a\\u001b[2Jb").and.include("\\u202eevil");
  });

  it("says one outcome once, and where outcomes differ, whose they are", () => {
    const same = [0, 1].map((index) => replica({ index, matched: 2, expected: 2 }));
    expect(reportOf(same).toString().match(/Net:/g)).to.have.length(1);
    const differing = reportOf([
      replica({ matched: 2, expected: 2 }),
      replica({ index: 1, matched: 1, expected: 2, missing: ["a"] }),
    ]).toString();
    expect(differing).to.include("rank 0 replica 0:").and.include("rank 0 replica 1:");
  });

  it("caps the table and says so", () => {
    const missing = Array.from({ length: 100 }, (_, at) => `name${at}`);
    const lines = reportOf([replica({ expected: 100, missing })])
      .toString()
      .split("\n");
    expect(lines).to.have.length(63);
    expect(lines.at(-1)).to.include("… and 40 more rows");
  });
});

describe("mergeReports", () => {
  const count = fc.integer({ min: 0, max: 1000 });
  const name = fc.constantFrom("", "a.pt", "b.pt");
  const ranks = fc.uniqueArray(
    fc.record({
      rank: fc.integer({ min: 0, max: 5 }),
      localRank: fc.integer({ min: 0, max: 1 }),
      nodeRank: fc.constant(0),
      host: fc.constantFrom("h", "i"),
      pid: fc.integer({ min: 1, max: 3 }),
      replicas: fc.uniqueArray(
        fc.record({ index: fc.integer({ min: 0, max: 3 }), matched: fc.integer({ min: 0, max: 2 }) }).map((parts) => replica(parts)),
        { selector: ({ index }) => index, maxLength: 3 },
      ),
    }),
    { selector: ({ rank }) => rank, maxLength: 3 },
  );
  const report = fc
    .record({
      weights: name,
      format: name,
      generation: count,
      bytes: count,
      worldSize: count,
      nodes: count,
      origin: fc.record({ requests: count, bytesNeeded: count, bytesRead: count, retries: count, cacheHits: count }),
      segments: fc.array(fc.record({ kind: fc.constantFrom("file" as const, "memfd" as const), bytes: count }), { maxLength: 3 }),
      ranks,
      timings: fc.record({
        startMs: count,
        resolveMs: count,
        fetchMs: count,
        decodeMs: count,
        broadcastMs: count,
        verifyMs: count,
        loadMs: count,
        barrierMs: count,
        totalMs: count,
      }),
      memory: fc.record({
        pssBytes: fc.option(count),
        peakRssBytes: fc.dictionary(fc.constantFrom("0", "1", "2"), count),
        sharedBytes: count,
      }),
      warnings: fc.array(fc.record({ code: fc.constantFrom("x", "y"), message: fc.constantFrom("m", "n") }), { maxLength: 3 }),
    })
    .map((fields) => new LoadReport(fields));
  const text = (each: LoadReport): string => canonical(each.toJSON());

  it("is commutative", () => {
    fc.assert(fc.property(report, report, (a, b) => text(mergeReports(a, b)) === text(mergeReports(b, a))));
  });

  it("is associative", () => {
    fc.assert(
      fc.property(report, report, report, (a, b, c) => {
        expect(text(mergeReports(mergeReports(a, b), c))).to.equal(text(mergeReports(a, mergeReports(b, c))));
      }),
    );
  });

  it("unites replicas of one rank, takes equal ones once and fills what one side lacks", () => {
    const part = (indices: readonly number[], weights: string): LoadReport =>
      new LoadReport({
        weights,
        ...(weights === "" ? {} : { sha256: "aa" }),
        ranks: [
          { rank: 0, localRank: 0, nodeRank: 0, host: "h", pid: 1, replicas: indices.map((index) => replica({ index, matched: index })) },
        ],
        warnings: [{ code: "w", message: "same" }],
      });
    const whole = mergeReports(part([2, 0], ""), part([1, 2], "w.pt"));
    expect(whole.ranks[0]?.replicas.map(({ index, matched }) => [index, matched])).to.deep.equal([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
    expect(whole).to.include({ weights: "w.pt", sha256: "aa" });
    expect(whole.warnings).to.have.length(1);
  });

  it("unites ranks and replicas and adds up what was read", () => {
    const half = (rank: number, requests: number): LoadReport =>
      new LoadReport({
        weights: "w.pt",
        worldSize: 2,
        origin: { requests, bytesNeeded: 10, bytesRead: 12, retries: 0, cacheHits: 1 },
        ranks: [{ rank, localRank: 0, nodeRank: rank, host: "h", pid: rank, replicas: [replica({ matched: 1 })] }],
      });
    const whole = mergeReports(half(1, 3), half(0, 4));
    expect(whole.ranks.map(({ rank }) => rank)).to.deep.equal([0, 1]);
    expect(whole.origin).to.deep.equal({ requests: 7, bytesNeeded: 20, bytesRead: 24, retries: 0, cacheHits: 2 });
  });
});

/** JSON with sorted names, so that only values are compared. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}
