/**
 * A node that cannot use a difference (its generation is another one, or gone) is offered the bytes themselves in the same round: the head and another node, with their real data planes;
 * what is injected is the refusal.
 */
import { readFileSync } from "node:fs";
import {
  type HeadMessage,
  LinkPlanner,
  type NodeBroadcast,
  NodeCaster,
  type NodeMessage,
  RelayWeights,
  RoundLineage,
  startNodeBroadcast,
} from "@rankcast/coordinator/internal";
import { compileLimits, DistributionError } from "@rankcast/core";
import { createRewritableSegment, MemoryMeter, nativeMemory, type PlacedSegments } from "@rankcast/core/internal";
import { expect } from "chai";
import { randomBytes } from "../../support/random-bytes.js";

const NBYTES = 300_000;
const key = { jobId: "job", token: "secret", certificates: null, insecure: false };
const listener = { onPhase: () => undefined, onBytes: () => undefined };

/** A rank's memory of two sets. */
class Source {
  readonly #native = nativeMemory(false) as NonNullable<ReturnType<typeof nativeMemory>>;
  readonly #sets = [0, 1].map(() => createRewritableSegment(NBYTES, this.#native));
  #turn = 0;
  bytes = Uint8Array.from(randomBytes(NBYTES, 1));

  publish(): PlacedSegments {
    const index = this.#turn % 2;
    this.#turn += 1;
    const set = this.#sets[index] as ReturnType<typeof createRewritableSegment>;
    this.bytes = this.bytes.slice();
    this.bytes[this.#turn] = (this.bytes[this.#turn] ?? 0) ^ 1;
    new Uint8Array(set.buffer).set(this.bytes);
    return { segments: [set.publish()], flat: [0, 0], shared: [], reuse: { layout: "a layout", set: `set ${index}`, known: "nothing" } };
  }

  close(): void {
    for (const set of this.#sets) set.release();
  }
}

describe("a difference that a node refuses (Linux)", function () {
  this.timeout(30_000);
  const open: NodeBroadcast[] = [];
  let source: Source;

  before(function () {
    if (process.platform !== "linux" || nativeMemory(false) === null) this.skip();
  });
  beforeEach(() => {
    source = new Source();
  });
  afterEach(async () => {
    source.close();
    await Promise.all(open.splice(0).map((each) => each.close()));
  });

  /** Node 0 is the head. `refuses`: the node whose generations are not what the others think. */
  async function job(refuses: 0 | 1) {
    const nodes = await Promise.all(
      [0, 1].map((nodeRank) => startNodeBroadcast({ nodeRank, listen: "127.0.0.1:0", key, noMmap: false, limits: compileLimits() })),
    );
    open.push(...nodes);
    const heard: NodeMessage[] = [];
    const encodings: string[] = [];
    const [head, other] = nodes.map((broadcast, nodeRank) => (nodeRank === refuses ? refusing(broadcast) : broadcast)) as [
      NodeBroadcast,
      NodeBroadcast,
    ];
    const members = nodes.map(({ laneAddress }, nodeRank) => ({ nodeRank, nodeId: `node ${nodeRank}`, address: laneAddress }));
    const membership = { jobId: "job", epoch: 1, nodes: members } as never;
    const ready: (() => void)[] = [];
    const relay: RelayWeights = new RelayWeights({
      nodeRank: 1,
      fetch: () => Promise.reject(new Error("nobody fetches")),
      listener,
      broadcast: other,
      lineage: new RoundLineage(other),
      tellRanks: () => undefined,
      send: (message) => {
        heard.push(message);
        if (message.type === "failed") expect(caster.again(message.sequence, 1)).to.equal(true);
        if (message.type === "ready") for (const tell of ready.splice(0)) tell();
        if (message.type === "owned") for (const tell of ready.splice(0)) tell();
      },
      memory: () => new MemoryMeter(),
    });
    const send = (_: string, message: HeadMessage): void => {
      if (message.type === "offer") {
        encodings.push((message.placement as { delta?: unknown }).delta ? "delta" : "full");
        relay.take(message);
      }
      if (message.type === "over") relay.end(message.sequence, message.passed);
    };
    const caster: NodeCaster = new NodeCaster({
      membership,
      links: new LinkPlanner(null),
      nodeRank: 0,
      broadcast: head,
      lineage: new RoundLineage(head),
      listener,
      send,
    });
    return { caster, relay, heard, encodings, next: () => new Promise<void>((resolve) => ready.push(resolve)) };
  }

  it("the head owns: the node asks again and gets everything; the round after is a difference again", async () => {
    const { caster, relay, heard, encodings, next } = await job(1);
    for (let sequence = 1; sequence <= 4; sequence += 1) {
      const told = next();
      caster.offer(sequence, Uint8Array.of(1), source.publish(), "update");
      await told;
      const published = relay.missed().at(-1) as { readonly placement: PlacedSegments };
      expect(readFileSync(published.placement.segments[0]?.path ?? "").equals(source.bytes), `update ${sequence}`).to.equal(true);
      expect(published.placement.reuse?.set).to.be.a("string");
      caster.end(sequence, true);
    }
    expect(encodings).to.deep.equal(["full", "delta", "full", "delta", "delta"]);
    expect(heard.map(({ type }) => type)).to.deep.equal(["ready", "failed", "ready", "ready", "ready"]);
    expect(caster.travelled(4)?.encoding).to.equal("delta");
  });

  it("another node owns: the head itself gets everything", async () => {
    const { caster, relay, heard, encodings, next } = await job(0);
    for (let sequence = 1; sequence <= 3; sequence += 1) {
      const owned = next();
      relay.own(2, { type: "publication", sequence, manifest: Uint8Array.of(1), placement: source.publish() });
      await owned;
      const message = heard.findLast(({ type }) => type === "owned") as Extract<NodeMessage, { type: "owned" }>;
      const weights = { ...(message.placement as object), manifest: message.manifest } as never;
      const { placed } = await caster.pass(sequence, 1, weights, new AbortController().signal);
      expect(readFileSync(placed.segments[0]?.path ?? "").equals(source.bytes), `update ${sequence}`).to.equal(true);
      caster.end(sequence, true);
    }
    expect(encodings).to.deep.equal(["full", "delta", "full", "delta"]);
  });
});

/** The node's data plane, except that the first difference that comes is refused. */
function refusing(broadcast: NodeBroadcast): NodeBroadcast {
  let refused = false;
  return {
    laneAddress: broadcast.laneAddress,
    lanePort: broadcast.lanePort,
    generations: broadcast.generations,
    assign: (nodeRank) => broadcast.assign(nodeRank),
    offer: (...args) => broadcast.offer(...args),
    receive: (offer, options) => {
      if ((options?.kept?.base ?? null) === null || refused) return broadcast.receive(offer, options);
      refused = true;
      return Promise.reject(new DistributionError("RANKCAST_DELTA", "a difference from another generation came"));
    },
    end: (id) => broadcast.end(id),
    close: () => broadcast.close(),
  };
}
