/** What may go wrong on the way of a chunk, at every place where it can: the bytes are right in the end, or the error says which are not. */
import { crc32 } from "node:zlib";
import { HEAD_BYTES } from "@rankcast/coordinator/internal";
import type { CheckpointError } from "@rankcast/core";
import type { BroadcastOffer } from "@rankcast/core/internal";
import { expect } from "chai";
import { randomBytes } from "../../support/random-bytes.js";
import { MemoryLane, type Tamper } from "./memory-lane.ts";
import { type MemoryNode, segmentOf, startMemoryNode, type TEST_BOUNDS } from "./memory-nodes.ts";

const CHUNK_BYTES = 64;
const FRAME_BYTES = HEAD_BYTES + CHUNK_BYTES;
const CHUNKS = 5;

describe("broadcast under faults", function () {
  this.timeout(120_000);
  const open: MemoryNode[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
  });

  const bytes = randomBytes(CHUNK_BYTES * CHUNKS, 7);

  /** A chain of nodes; the last receiver's bytes. */
  async function run(tamper: Tamper, more: { readonly nodes?: number; readonly bounds?: Partial<typeof TEST_BOUNDS> } = {}) {
    const lane = new MemoryLane(tamper);
    const { nodes: count = 2, bounds } = more;
    const nodes = await Promise.all(Array.from({ length: count }, (_, rank) => startMemoryNode(lane, rank, bounds)));
    open.push(...nodes);
    const offer = offerOf(count);
    nodes[0]?.offer(offer, [segmentOf(bytes)]);
    const received = await Promise.all(nodes.slice(1).map((each) => each.receive(offer)));
    await Promise.all(open.splice(0).map((each) => each.close()));
    return { lane, received };
  }

  function offerOf(count: number, more: Partial<BroadcastOffer["id"]> = {}): BroadcastOffer {
    return {
      id: { jobId: "job", epoch: 0, sequence: 1, ...more },
      segmentBytes: [bytes.length],
      chunkBytes: CHUNK_BYTES,
      owners: [0],
      nodes: Array.from({ length: count }, (_, nodeRank) => ({ nodeRank, address: `node-${nodeRank}` })),
    };
  }

  const whole: Tamper = (piece) => ({ pieces: [piece] });

  it("a reset at any byte sends at most one chunk again", async () => {
    for (let at = 0; at <= FRAME_BYTES * CHUNKS; at += at % FRAME_BYTES === 0 ? 1 : FRAME_BYTES / 2 - (at % (FRAME_BYTES / 2)) || 1) {
      let fired = false;
      const { lane, received } = await run((piece, wire) => {
        if (!wire.toReceiver || wire.connection !== 0 || fired || wire.at + piece.length < at) return { pieces: [piece] };
        fired = true;
        return { pieces: [piece.subarray(0, at - wire.at)], cut: true };
      });
      expect(received[0]?.equals(bytes), `cut at ${at}`).to.equal(true);
      expect(fired, `cut at ${at}`).to.equal(true);
      expect(lane.receivedBytes, `cut at ${at}`).to.be.at.most(FRAME_BYTES * (CHUNKS + 1));
    }
  });

  it("every single flipped bit is found", async () => {
    for (let bit = 0; bit < FRAME_BYTES * 2 * 8; bit += 1) {
      let fired = false;
      const { lane, received } = await run((piece, { at, connection, toReceiver }) => {
        const place = (bit >> 3) - at;
        if (!toReceiver || connection !== 0 || place < 0 || place >= piece.length) return { pieces: [piece] };
        fired = true;
        const flipped = Buffer.from(piece);
        flipped[place] = (flipped[place] ?? 0) ^ (1 << (bit & 7));
        return { pieces: [flipped] };
      });
      expect(received[0]?.equals(bytes), `bit ${bit}`).to.equal(true);
      expect(fired && lane.connections("node-0") > 1, `bit ${bit} was noticed`).to.equal(true);
    }
  });

  it("bytes that are wrong again and again fail it, naming chunk and offset", async () => {
    let error: unknown;
    await run((piece, { toReceiver }) => {
      if (!toReceiver || piece.readUInt32LE(12) !== 3) return { pieces: [piece] };
      const flipped = Buffer.from(piece);
      flipped[HEAD_BYTES + 5] = (flipped[HEAD_BYTES + 5] ?? 0) ^ 1;
      return { pieces: [flipped] };
    }).catch((caught: unknown) => {
      error = caught;
    });
    const { code, details } = error as CheckpointError;
    expect(code).to.equal("RANKCAST_BROADCAST_CORRUPT");
    expect(details).to.include({ chunk: 3, segment: 0, offset: 3 * CHUNK_BYTES, source: 0 });
  });

  it("chunks that changed places, with their checksums, are refused", async () => {
    let swapped = 0;
    const { lane, received } = await run((piece, { toReceiver, connection }) => {
      const chunk = piece.readUInt32LE(12);
      if (!toReceiver || connection !== 0 || chunk > 1) return { pieces: [piece] };
      swapped += 1;
      // The same bytes and checksum under the other's number, in a head that is whole.
      const other = Buffer.from(piece);
      other.writeUInt32LE(1 - chunk, 12);
      other.writeUInt32LE(crc32(other.subarray(0, 60)), 60);
      return { pieces: [other] };
    });
    expect(swapped).to.be.greaterThan(0);
    expect(lane.connections("node-0")).to.be.greaterThan(1);
    expect(received[0]?.equals(bytes)).to.equal(true);
  });

  for (const [what, id] of [
    ["job", { jobId: "other" }],
    ["epoch", { epoch: 1 }],
    ["sequence", { sequence: 2 }],
  ] as const) {
    it(`a chunk of another ${what} is refused`, async () => {
      const frames: Buffer[] = [];
      const lane = new MemoryLane((piece, { toReceiver }) => {
        if (toReceiver) frames.push(Buffer.from(piece));
        return { pieces: [piece] };
      });
      const [owner, receiver] = [await startMemoryNode(lane, 0), await startMemoryNode(lane, 1)];
      open.push(owner, receiver);
      const foreign = offerOf(2, id);
      owner.offer(foreign, [segmentOf(randomBytes(bytes.length, 99))]);
      await receiver.receive(foreign);
      for (const disguised of [false, true]) {
        let spliced = 0;
        const { received } = await run((piece, { toReceiver, connection }) => {
          const stranger = frames[0];
          if (!toReceiver || connection !== 0 || stranger === undefined) return { pieces: [piece] };
          spliced += 1;
          const copy = Buffer.from(stranger);
          // Disguised: the head names this broadcast, and only the checksum can tell.
          if (disguised) piece.copy(copy, 32, 32, 48);
          copy.writeUInt32LE(crc32(copy.subarray(0, 60)), 60);
          return { pieces: [copy] };
        });
        expect(spliced).to.be.greaterThan(0);
        expect(received[0]?.equals(bytes)).to.equal(true);
      }
    });
  }

  it("pieces of one byte are as good as any", async () => {
    const { received } = await run((piece) => ({ pieces: Array.from(piece, (byte) => Buffer.from([byte])) }), { nodes: 3 });
    for (const each of received) expect(each.equals(bytes)).to.equal(true);
  });

  it("a connection that swallows what comes back, or what is sent, is replaced", async () => {
    for (const swallowed of [true, false]) {
      const { lane, received } = await run(
        (piece, { toReceiver, connection, at }) =>
          toReceiver === swallowed && connection === 0 && at > 0
            ? { pieces: [] }
            : whole(piece, { at, connection, address: "", toReceiver }),
        { bounds: { creditBytes: CHUNK_BYTES } },
      );
      expect(lane.connections("node-0")).to.be.greaterThan(1);
      expect(received[0]?.equals(bytes)).to.equal(true);
    }
  });

  it("a node whose every connection is dead fails with who was asked", async () => {
    let error: unknown;
    await run((piece, { toReceiver }) => ({ pieces: toReceiver ? [] : [piece] }), { bounds: { giveUpMs: 600 } }).catch(
      (caught: unknown) => {
        error = caught;
      },
    );
    expect(error).to.include({ code: "RANKCAST_BROADCAST_STALLED" });
    expect((error as CheckpointError).details).to.deep.include({ missing: CHUNKS, chunks: CHUNKS, sources: [0] });
  });

  it("a node that stops taking bytes is named and cut, and those behind it get theirs from elsewhere", async () => {
    const lane = new MemoryLane();
    // Node 3 asks once, and after one chunk it is deaf and dumb on every connection.
    let chunks = 0;
    const deaf = new MemoryLane((piece, { toReceiver }) => {
      const passes = chunks === 0;
      if (toReceiver) chunks += 1;
      return { pieces: passes ? [piece] : [] };
    }, lane);
    const bounds = { stallMs: 700, giveUpMs: 3000, creditBytes: 2 * CHUNK_BYTES };
    const nodes = await Promise.all(Array.from({ length: 8 }, (_, rank) => startMemoryNode(rank === 3 ? deaf : lane, rank, bounds)));
    open.push(...nodes);
    const offer = offerOf(8);
    nodes[0]?.offer(offer, [segmentOf(bytes)]);
    const results = await Promise.allSettled(nodes.slice(1).map((each) => each.receive(offer)));
    for (const [at, result] of results.entries()) {
      if (at + 1 === 3) expect(result).to.have.property("status", "rejected");
      else expect(result.status === "fulfilled" && result.value.equals(bytes), `node ${at + 1}`).to.equal(true);
    }
    const named = nodes.flatMap(({ told }) => told).flatMap((each) => (each.type === "stalled" ? [each.receiver] : []));
    expect(new Set(named)).to.deep.equal(new Set([3]));
    expect(nodes[4]?.told.some((each) => each.type === "switched" && each.from === 3)).to.equal(true);
  });

  it("a node that begins late catches up, and nobody waits for it", async () => {
    const lane = new MemoryLane();
    const nodes = await Promise.all(Array.from({ length: 4 }, (_, rank) => startMemoryNode(lane, rank)));
    open.push(...nodes);
    const offer = offerOf(4);
    nodes[0]?.offer(offer, [segmentOf(bytes)]);
    const early = await Promise.all([nodes[1]?.receive(offer), nodes[3]?.receive(offer)]);
    const late = await nodes[2]?.receive(offer);
    for (const each of [...early, late]) expect(each?.equals(bytes)).to.equal(true);
  });

  it("whoever says what no receiver says is cut off, and others are served", async () => {
    const lane = new MemoryLane();
    const [owner, receiver] = [await startMemoryNode(lane, 0), await startMemoryNode(lane, 1)];
    open.push(owner, receiver);
    const offer = offerOf(2);
    owner.offer(offer, [segmentOf(bytes)]);
    for (let seed = 1; seed <= 50; seed += 1) {
      const connection = await lane.connect("node-0");
      const closed = new Promise<void>((resolve) => connection.start({ onBytes: () => undefined, onClose: () => resolve() }));
      connection.write([randomBytes(HEAD_BYTES * 2, seed)], () => undefined);
      await closed;
    }
    expect((await receiver.receive(offer)).equals(bytes)).to.equal(true);
  });
});
