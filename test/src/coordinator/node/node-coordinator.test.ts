import {
  type CoordinatorMessage,
  type FetchedWeights,
  type FetchWeights,
  type Hello,
  NodeCoordinator,
  type RankConnection,
  type RankMessage,
} from "@rankcast/coordinator/internal";
import { SourceError, StateDict, Tensor } from "@rankcast/core";
import { encodeManifest, manifestFromStateDict, newReadStats, toErrorRecord } from "@rankcast/core/internal";
import { PROTOCOL_VERSION } from "@rankcast/proto";
import { expect } from "chai";

type Decision = Extract<CoordinatorMessage, { type: "decision" }>;

/** One rank's stream, recorded. */
class FakeRank implements RankConnection {
  readonly hello: Hello;
  readonly heard: CoordinatorMessage[] = [];
  refused: string | null = null;
  readonly #node: NodeCoordinator;
  #arrivals = new Map<string, number>();

  constructor(node: NodeCoordinator, rank: number, overrides: Partial<Hello> = {}) {
    this.#node = node;
    const numbers = { rank, localRank: rank, nodeRank: 0, worldSize: 3, localWorldSize: 3 };
    this.hello = {
      type: "hello",
      protocol: PROTOCOL_VERSION,
      jobId: "job",
      epoch: 0,
      incarnation: `${rank}`,
      pid: 100 + rank,
      host: "host",
      ...numbers,
      ...overrides,
    };
    node.onJoin(this);
  }
  send(message: CoordinatorMessage): void {
    this.heard.push(message);
  }
  refuse(_: string, text: string): void {
    this.refused = text;
  }
  end(): void {}
  say(message: RankMessage): void {
    this.#node.onMessage(this, message);
  }
  arrive(stage: string, extra: { failure?: Error; payload?: unknown; digest?: string } = {}): void {
    const generation = (this.#arrivals.get(stage) ?? 0) + 1;
    this.#arrivals.set(stage, generation);
    const { failure, digest = "1 d", payload } = extra;
    const wire = failure ? { failure: { code: "", message: failure.message, record: toErrorRecord(failure) } } : {};
    this.say({ type: "arrive", barrier: stage, generation, digest, ...wire, ...(payload === undefined ? {} : { payload }) });
  }
  load(sequence = 1): void {
    this.say({ type: "load", sequence, weights: "w", options: {}, digest: "d" });
  }
  die(): void {
    this.#node.onEnd(this);
  }
  decisions(): Decision[] {
    return this.heard.filter((message): message is Decision => message.type === "decision");
  }
  last(): CoordinatorMessage | undefined {
    return this.heard.at(-1);
  }
}

function fetchedWeights(log: string[]): FetchedWeights {
  const { manifest } = manifestFromStateDict(new StateDict([["w", Tensor.from(new Float32Array(4), [4])]]));
  return {
    manifest,
    manifestBytes: encodeManifest(manifest),
    placed: { segments: [], flat: [], shared: [] },
    origin: newReadStats,
    name: "w",
    bytes: 16,
    sha256: null,
    timings: { resolveMs: 1, fetchMs: 2, decodeMs: 3, broadcastMs: 4 },
    verify: async () => void log.push("verified"),
    release: () => void log.push("released"),
  };
}

function start(fetch: FetchWeights, count = 3): { node: NodeCoordinator; ranks: FakeRank[] } {
  const identity = { jobId: "job", epoch: 0, worldSize: 3, localWorldSize: 3 };
  // The coordinator's own process grows by 7 bytes each time somebody looks.
  let pssBytes = 0;
  const grow = (): { pssBytes: number; peakRssBytes: number } => {
    pssBytes += 7;
    return { pssBytes, peakRssBytes: 0 };
  };
  const node = new NodeCoordinator({ ...identity, fetch, barrierTimeoutMs: 60_000, memory: { before: grow, after: grow } });
  return { node, ranks: Array.from({ length: count }, (_, rank) => new FakeRank(node, rank)) };
}

/** Lets pending promise callbacks run; nothing here waits for time. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
};

const memory = { before: { pssBytes: 10 }, after: { pssBytes: 30, peakRssBytes: 5 } };

describe("NodeCoordinator", () => {
  it("tells a rank that joins late what was published before", async () => {
    const { node, ranks } = start(async () => fetchedWeights([]), 2);
    for (const rank of ranks) rank.load();
    await settle();
    const late = new FakeRank(node, 2);
    expect(late.heard.map(({ type }) => type)).to.deep.equal(["welcome", "published"]);
    expect(late.heard[1]).to.equal(ranks[0]?.heard.find(({ type }) => type === "published"));
  });

  it("I2: fetches once for all ranks and passes a round to its report", async () => {
    const log: string[] = [];
    let fetches = 0;
    const { node, ranks } = start(async () => {
      fetches += 1;
      return fetchedWeights(log);
    });
    for (const rank of ranks) rank.load();
    for (const rank of ranks) rank.arrive("round/begin");
    await settle();
    expect(fetches).to.equal(1);
    for (const rank of ranks) expect(rank.heard.filter(({ type }) => type === "published")).to.have.length(1);
    for (const stage of ["round/prepared", "round/committed"]) for (const rank of ranks) rank.arrive(stage);
    for (const rank of ranks) rank.arrive("round/reported", { payload: { replicas: [], memory, attached: "mapped", warnings: [] } });
    await settle();
    expect(log).to.include.members(["verified", "released"]);
    for (const rank of ranks) {
      const decisions = rank.decisions();
      expect(decisions.map(({ barrier, passed }) => [barrier, passed])).to.deep.equal([
        ["round/begin", true],
        ["round/prepared", true],
        ["round/committed", true],
        ["round/reported", true],
      ]);
      const report = decisions[3]?.payload as {
        generation: number;
        worldSize: number;
        memory: { pssBytes: number };
        ranks: { pid: number }[];
      };
      expect([report.generation, report.worldSize, report.memory.pssBytes]).to.deep.equal([0, 3, 3 * 20 + 7]);
      expect(report.ranks.map(({ pid }) => pid)).to.deep.equal([100, 101, 102]);
    }
    node.close();
  });

  it("commits nothing before stored checksums were checked", async () => {
    let finish: () => void = () => undefined;
    const { node, ranks } = start(async () => ({
      ...fetchedWeights([]),
      verify: () => new Promise<void>((resolve) => (finish = resolve)),
    }));
    for (const rank of ranks) rank.load();
    for (const rank of ranks) rank.arrive("round/begin");
    await settle();
    for (const rank of ranks) rank.arrive("round/prepared");
    expect(ranks[0]?.decisions().map(({ barrier }) => barrier)).to.deep.equal(["round/begin"]);
    finish();
    await settle();
    expect(ranks[0]?.decisions().map(({ barrier }) => barrier)).to.deep.equal(["round/begin", "round/prepared"]);
    node.close();
  });

  it("I5: a download error fails every rank with the same cause, also one that comes later", async () => {
    const { node, ranks } = start(async () => {
      throw new SourceError("RANKCAST_NOT_FOUND", "no such file", {});
    });
    ranks[0]?.load();
    ranks[0]?.arrive("round/begin");
    ranks[1]?.arrive("round/begin");
    await settle();
    ranks[2]?.load();
    ranks[2]?.arrive("round/begin");
    const causes = ranks.map((rank) => rank.decisions().at(-1)?.cause);
    for (const cause of causes) {
      expect(cause?.code).to.equal("RANKCAST_NOT_FOUND");
      expect(cause?.record).to.have.nested.property("details.rootCause").that.includes({ rank: 0, code: "RANKCAST_NOT_FOUND" });
    }
    node.close();
  });

  it("goes on with the next round after a failed one", async () => {
    let fail = true;
    const { node, ranks } = start(async () => {
      if (!fail) return fetchedWeights([]);
      fail = false;
      throw new SourceError("RANKCAST_NOT_FOUND", "no such file", {});
    });
    for (const rank of ranks) rank.load();
    await settle();
    for (const rank of ranks) rank.arrive("round/begin");
    for (const rank of ranks) expect(rank.decisions().at(-1)?.passed).to.equal(false);
    for (const rank of ranks) rank.load(2);
    for (const rank of ranks) rank.arrive("round/begin", { digest: "2 d" });
    await settle();
    for (const rank of ranks) rank.arrive("round/prepared", { digest: "2 d" });
    await settle();
    for (const rank of ranks) expect(rank.decisions().at(-1)).to.include({ barrier: "round/prepared", passed: true });
    node.close();
  });

  it("one rank's failure is everybody's, with its class and its rank", async () => {
    const { node, ranks } = start(async () => fetchedWeights([]));
    for (const rank of ranks) rank.load();
    for (const rank of ranks) rank.arrive("round/begin");
    await settle();
    ranks[0]?.arrive("round/prepared");
    ranks[2]?.arrive("round/prepared", { failure: new SourceError("RANKCAST_NOT_FOUND", "mine", {}) });
    for (const rank of ranks) {
      const { passed, cause } = rank.decisions().at(-1) ?? {};
      expect(passed).to.equal(false);
      expect(cause?.record).to.have.nested.property("details.rootCause.rank", 2);
      expect(cause?.code).to.equal("RANKCAST_NOT_FOUND");
    }
    node.close();
  });

  it("I5: a rank that dies fails the others at once, whether they stand at a barrier or not", async () => {
    const { node, ranks } = start(() => new Promise(() => undefined));
    for (const rank of ranks) rank.load();
    ranks[0]?.arrive("round/begin");
    ranks[1]?.die();
    expect(ranks[0]?.decisions().at(-1)?.cause?.code).to.equal("RANKCAST_RANK_LOST");
    expect(ranks[2]?.heard.some((message) => message.type === "aborted" && message.cause.code === "RANKCAST_RANK_LOST")).to.equal(true);
    node.close();
  });

  it("I4: a barrier of several ranks opens for nobody before the last one came", async () => {
    const { node, ranks } = start(async () => fetchedWeights([]));
    for (const rank of ranks) rank.load();
    await settle();
    ranks[0]?.arrive("round/begin");
    ranks[1]?.arrive("round/begin");
    await settle();
    for (const rank of ranks) expect(rank.decisions()).to.deep.equal([]);
    ranks[2]?.arrive("round/begin");
    await settle();
    for (const rank of ranks)
      expect(rank.decisions().map(({ barrier, passed }) => [barrier, passed])).to.deep.equal([["round/begin", true]]);
    node.close();
  });

  it("I8: ranks that mean different things fail at the first barrier", () => {
    const { node, ranks } = start(() => new Promise(() => undefined));
    ranks[0]?.arrive("round/begin", { digest: "1 a" });
    ranks[1]?.arrive("round/begin", { digest: "1 b" });
    expect(ranks[2]?.decisions().at(-1)?.cause?.code).to.equal("RANKCAST_BARRIER_MISMATCH");
    node.close();
  });

  it("refuses strangers: other job, epoch, world, version, and a rank twice", () => {
    const { node } = start(async () => fetchedWeights([]), 1);
    const wrong: Partial<Hello>[] = [
      { jobId: "other" },
      { epoch: 1 },
      { localWorldSize: 2 },
      { localRank: 3 },
      { protocol: PROTOCOL_VERSION + 1 },
    ];
    for (const overrides of wrong) expect(new FakeRank(node, 1, overrides).refused, JSON.stringify(overrides)).to.be.a("string");
    expect(new FakeRank(node, 0).refused).to.contain("joined already");
    node.close();
  });

  it("an abort reaches every rank with the message of the one that aborted", () => {
    const { node, ranks } = start(async () => fetchedWeights([]));
    const cause = { code: "", message: "boom", record: toErrorRecord(new TypeError("boom")) };
    ranks[1]?.say({ type: "abort", cause });
    for (const rank of ranks) {
      const last = rank.last();
      expect(last?.type).to.equal("aborted");
      if (last?.type === "aborted") expect(last.cause.record).to.have.nested.property("details.rootCause.rank", 1);
    }
    node.close();
  });
});
