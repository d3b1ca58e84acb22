/** Links of several connections, when one of them breaks, swallows, lies or is late: the others carry on, and the bytes are right. */
import { encodeHead, HEAD_BYTES, headDigest, Pull } from "@rankcast/coordinator/internal";
import { type BroadcastOffer, ChunkSet, contentDigest, extendChecksum, layoutChunks, startChecksum } from "@rankcast/core/internal";
import { expect } from "chai";
import { randomBytes } from "../../support/random-bytes.js";
import { MemoryLane, type Tamper } from "./memory-lane.ts";
import { type MemoryNode, segmentOf, startMemoryNode, type TEST_BOUNDS } from "./memory-nodes.ts";

const CHUNK_BYTES = 64;
const FRAME_BYTES = HEAD_BYTES + CHUNK_BYTES;
const CHUNKS = 30;
const CONNECTIONS = 3;
const bytes = randomBytes(CHUNK_BYTES * CHUNKS, 7);

function offerOf(nodes: number, connections = CONNECTIONS): BroadcastOffer {
  return {
    id: { jobId: "job", epoch: 0, sequence: 1 },
    segmentBytes: [bytes.length],
    chunkBytes: CHUNK_BYTES,
    owners: [0],
    nodes: Array.from({ length: nodes }, (_, nodeRank) => ({ nodeRank, address: `node-${nodeRank}` })),
    connections,
  };
}

describe("links of several connections under faults", function () {
  this.timeout(120_000);
  const open: MemoryNode[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
  });

  /** A chain; the receivers' bytes, and how often one of them turned to another source. */
  async function run(tamper: Tamper, more: { readonly nodes?: number; readonly bounds?: Partial<typeof TEST_BOUNDS> } = {}) {
    const lane = new MemoryLane(tamper);
    const { nodes: count = 2 } = more;
    // Two chunks of each connection on their way.
    const bounds = { creditBytes: 2 * CONNECTIONS * CHUNK_BYTES, ...more.bounds };
    const nodes = await Promise.all(Array.from({ length: count }, (_, rank) => startMemoryNode(lane, rank, bounds)));
    open.push(...nodes);
    const offer = offerOf(count);
    nodes[0]?.offer(offer, [segmentOf(bytes)]);
    const received = await Promise.all(nodes.slice(1).map((each) => each.receive(offer)));
    const told = nodes.flatMap((each) => each.told);
    await Promise.all(open.splice(0).map((each) => each.close()));
    return { lane, received, told };
  }

  it("spread the chunks over all connections", async () => {
    const carried = new Map<number, number>();
    const { lane, received } = await run((piece, { toReceiver, connection, address }) => {
      if (toReceiver && address === "node-0") carried.set(connection, (carried.get(connection) ?? 0) + 1);
      return { pieces: [piece] };
    });
    expect(received[0]?.equals(bytes)).to.equal(true);
    expect(lane.connections("node-0")).to.equal(CONNECTIONS);
    expect(lane.receivedBytes).to.equal(FRAME_BYTES * CHUNKS);
    for (let connection = 0; connection < CONNECTIONS; connection += 1) expect(carried.get(connection) ?? 0).to.be.at.least(1);
  });

  for (let victim = 0; victim < CONNECTIONS; victim += 1) {
    it(`go on when connection ${victim} is cut, wherever; at most what was on its way comes again`, async () => {
      for (let at = 0; at <= FRAME_BYTES; at += FRAME_BYTES / 8) {
        let fired = false;
        const { lane, received, told } = await run((piece, wire) => {
          if (!wire.toReceiver || wire.connection !== victim || fired || wire.at + piece.length < at) return { pieces: [piece] };
          fired = true;
          return { pieces: [piece.subarray(0, at - wire.at)], cut: true };
        });
        expect(received[0]?.equals(bytes), `cut at ${at}`).to.equal(true);
        expect(fired, `cut at ${at}`).to.equal(true);
        expect(lane.connections("node-0"), `cut at ${at}`).to.equal(CONNECTIONS + 1);
        expect(lane.receivedBytes, `cut at ${at}`).to.be.at.most(FRAME_BYTES * (CHUNKS + 2));
        expect(told.filter(({ type }) => type === "switched" || type === "stalled" || type === "failed")).to.deep.equal([]);
      }
    });
  }

  it("go on with one connection when nobody lets the others through", async () => {
    const { received, told } = await run((piece, { connection }) => (connection === 1 ? { pieces: [piece] } : { pieces: [], cut: true }), {
      nodes: 3,
    });
    for (const each of received) expect(each.equals(bytes)).to.equal(true);
    expect(told.filter(({ type }) => type === "switched")).to.deep.equal([]);
  });

  it("cut a connection that swallows everything, and the node behind it is not blamed", async () => {
    const { lane, received, told } = await run(
      (piece, { toReceiver, connection }) => ({ pieces: toReceiver && connection === 2 ? [] : [piece] }),
      { bounds: { stallMs: 300 } },
    );
    expect(received[0]?.equals(bytes)).to.equal(true);
    expect(lane.connections("node-0")).to.be.greaterThan(CONNECTIONS);
    expect(told.filter(({ type }) => type === "stalled")).to.deep.equal([]);
  });

  it("find every flipped bit on any connection", async () => {
    for (let bit = 0; bit < FRAME_BYTES * 8; bit += 5) {
      const victim = bit % CONNECTIONS;
      let fired = false;
      const { lane, received } = await run((piece, { at, connection, toReceiver }) => {
        const place = (bit >> 3) - at;
        if (!toReceiver || connection !== victim || place < 0 || place >= piece.length) return { pieces: [piece] };
        fired = true;
        const flipped = Buffer.from(piece);
        flipped[place] = (flipped[place] ?? 0) ^ (1 << (bit & 7));
        return { pieces: [flipped] };
      });
      expect(received[0]?.equals(bytes), `bit ${bit}`).to.equal(true);
      expect(fired && lane.connections("node-0") > CONNECTIONS, `bit ${bit} was noticed`).to.equal(true);
    }
  });

  it("take a node for dead when all its connections are, and get the bytes from the one before", async () => {
    let passed = 0;
    const { received, told } = await run(
      (piece, { address, toReceiver }) => {
        if (address === "node-1" && toReceiver) passed += 1;
        return { pieces: address === "node-1" && toReceiver && passed > 4 ? [] : [piece] };
      },
      { nodes: 3, bounds: { stallMs: 400 } },
    );
    for (const each of received) expect(each.equals(bytes)).to.equal(true);
    expect(told.some((each) => each.type === "switched" && each.from === 1 && each.to === 0)).to.equal(true);
  });
});

describe("a pull over several connections", () => {
  it("never lets a late connection write over a chunk that came over another", async () => {
    const offer = offerOf(1);
    const layout = layoutChunks(offer);
    const digest = contentDigest(offer);
    const lane = new MemoryLane();
    const senders: { write(parts: readonly Uint8Array[], written: () => void): void }[] = [];
    const bound = await lane.listen("node-0", (connection) => {
      senders.push(connection);
      connection.start({ onBytes: () => undefined, onClose: () => undefined });
    });
    const memory = Buffer.alloc(bytes.length);
    const verified = new Set<number>();
    const heard: string[] = [];
    const terms = { nodeRank: 1, creditBytes: 1, digest: headDigest(digest) };
    const target = {
      layout,
      digest,
      missing: (chunk: number) => !verified.has(chunk),
      write: (_: number, piece: Uint8Array, offset: number) => void memory.set(piece, offset),
    };
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    };
    const pull = new Pull({ lane, address: "node-0", terms, link: 1 }, target, {
      onBytes: () => undefined,
      onChunk: (connection, chunk) => {
        verified.add(chunk);
        heard.push(`chunk ${chunk} over ${connection}`);
      },
      onCorrupt: (connection, chunk) => heard.push(`corrupt ${chunk} over ${connection}`),
      onBroken: (connection, reason) => heard.push(`broken ${connection}: ${reason}`),
      onWriteFailed: () => heard.push("write failed"),
    });
    pull.connect(0, ChunkSet.all(CHUNKS));
    pull.connect(1, ChunkSet.all(CHUNKS));
    await turns();
    const chunk = layout.chunk(3);
    const right = bytes.subarray(chunk.offset, chunk.offset + chunk.length);
    const checksum = extendChecksum(startChecksum(digest, chunk), right);
    const head = encodeHead({ type: "chunk", digest: headDigest(digest), number: 3, checksum, payloadBytes: chunk.length });
    const wrong = Buffer.alloc(chunk.length, 0xee);
    const say = (connection: number, ...parts: Uint8Array[]): void => senders[connection]?.write(parts, () => undefined);
    // The first connection is in the middle of the chunk when the second begins it; its rest comes while the second is in the middle, and after.
    say(0, head, wrong.subarray(0, 10));
    await turns();
    say(1, head, right.subarray(0, 40));
    await turns();
    say(0, wrong.subarray(10, 30));
    await turns();
    say(1, right.subarray(40));
    await turns();
    say(0, wrong.subarray(30));
    await turns();
    expect(heard).to.deep.equal(["broken 0: chunk 3 came over another connection", "chunk 3 over 1"]);
    expect(memory.subarray(chunk.offset, chunk.offset + chunk.length).equals(right)).to.equal(true);
    pull.close(false);
    await bound.close();
  });
});
