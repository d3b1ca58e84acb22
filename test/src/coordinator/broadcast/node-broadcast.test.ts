/** The whole data plane on loopback: threads, sockets, segments. Bytes are compared with what the owner had. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { type NodeBroadcast, type NodeBroadcastOptions, startNodeBroadcast } from "@rankcast/coordinator/internal";
import { compileLimits } from "@rankcast/core";
import { type BroadcastOffer, createMemorySegment, nativeMemory, type SegmentDescriptor } from "@rankcast/core/internal";
import { expect } from "chai";
import { randomBytes } from "../../support/random-bytes.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const MIB = 2 ** 20;
const key = { jobId: "job", token: "secret", certificates: null, insecure: false };

function digestOf(descriptor: SegmentDescriptor): string {
  const fd = openSync(descriptor.path, "r");
  try {
    const bytes = Buffer.alloc(descriptor.nbytes);
    for (let at = 0; at < bytes.length; ) {
      at += readSync(fd, bytes, at, bytes.length - at, (descriptor.kind === "file" ? descriptor.offset : 0) + at);
    }
    return createHash("sha256").update(bytes).digest("hex");
  } finally {
    closeSync(fd);
  }
}

describe("node broadcast", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const open: NodeBroadcast[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()));
  });

  async function start(count: number, more: Partial<NodeBroadcastOptions> = {}): Promise<NodeBroadcast[]> {
    const nodes = await Promise.all(
      Array.from({ length: count }, (_, nodeRank) =>
        startNodeBroadcast({ nodeRank, listen: "127.0.0.1:0", key, noMmap: false, limits: compileLimits(), ...more }),
      ),
    );
    open.push(...nodes);
    return nodes;
  }

  function offerOf(
    nodes: readonly NodeBroadcast[],
    descriptors: readonly SegmentDescriptor[],
    more: Partial<BroadcastOffer> = {},
  ): BroadcastOffer {
    return {
      id: { jobId: "job", epoch: 0, sequence: 1 },
      segmentBytes: descriptors.map(({ nbytes }) => nbytes),
      chunkBytes: MIB,
      owners: [0],
      nodes: nodes.map(({ laneAddress }, nodeRank) => ({ nodeRank, address: laneAddress })),
      ...more,
    };
  }

  /** A window of a file and a segment in memory, neither a multiple of a chunk. */
  function twoSegments(): SegmentDescriptor[] {
    const path = join(directory(), "weights.bin");
    writeFileSync(path, randomBytes(5 * MIB + 12_345, 1));
    const { size, mtimeMs, ino } = statSync(path);
    const memory = createMemorySegment(3 * MIB + 77, nativeMemory(false));
    new Uint8Array(memory.buffer).set(randomBytes(memory.nbytes, 2));
    return [{ kind: "file", path, offset: 65_536, nbytes: size - 65_536 - 11, sizeBytes: size, mtimeMs, inode: ino }, memory.publish()];
  }

  for (const [what, more, connections = 1] of [
    ["over TCP", {}],
    ["over TCP without mappings", { noMmap: true }],
    ["over gRPC", { lane: "grpc" }],
    ["over TCP in four connections", {}, 4],
    ["over gRPC in three connections", { lane: "grpc" }, 3],
  ] as const) {
    it(`brings every byte to five nodes ${what}`, async () => {
      const nodes = await start(5, more);
      const descriptors = twoSegments();
      const offer = offerOf(nodes, descriptors, { connections });
      const [owner, ...receivers] = nodes;
      const seen: number[] = [];
      const [, ...received] = await Promise.all([
        owner?.offer(offer, descriptors),
        ...receivers.map((each) => each.receive(offer, { onProgress: (bytes) => seen.push(bytes) })),
      ]);
      for (const each of received) expect(each?.descriptors.map(digestOf)).to.deep.equal(descriptors.map(digestOf));
      for (const each of received) expect(each?.roundTripMs ?? -1).to.satisfy((ms: number) => ("lane" in more ? ms === -1 : ms >= 0));
      expect(Math.max(...seen)).to.equal(offer.segmentBytes.reduce((sum, nbytes) => sum + nbytes));
    });
  }

  it("fills stripes from the origin on every node and carries them round the ring", async () => {
    const nodes = await start(4);
    const truth = [randomBytes(33 * MIB, 3), randomBytes(2 * MIB + 4, 4)];
    const offer = offerOf(nodes, [], { segmentBytes: truth.map(({ length }) => length), owners: [0, 1, 2, 3] });
    let read = 0;
    const received = await Promise.all(
      nodes.map((each) =>
        each.receive(offer, {
          own: async (segment, offset, into) => {
            read += into.length;
            into.set(truth[segment]?.subarray(offset, offset + into.length) ?? []);
          },
        }),
      ),
    );
    const expected = truth.map((bytes) => createHash("sha256").update(bytes).digest("hex"));
    for (const each of received) expect(each.descriptors.map(digestOf)).to.deep.equal(expected);
    // Law L3: each byte of the origin once, over all nodes.
    expect(read).to.equal(35 * MIB + 4);
  });

  it("keeps serving what it gave back, and forgets a broadcast that is ended", async () => {
    const nodes = await start(3);
    const descriptors = twoSegments();
    const offer = offerOf(nodes, descriptors);
    const [owner, middle, last] = nodes;
    const offered = owner?.offer(offer, descriptors);
    const received = await middle?.receive(offer);
    await offered;
    received?.release();
    received?.release();
    owner?.end(offer.id);
    const late = await last?.receive(offer);
    expect(late?.descriptors.map(digestOf)).to.deep.equal(descriptors.map(digestOf));
    for (const each of nodes) each.end(offer.id);
    // The next one, under the next number.
    const next = offerOf(nodes, descriptors, { id: { ...offer.id, sequence: 2 } });
    const [, again] = await Promise.all([owner?.offer(next, descriptors), middle?.receive(next), last?.receive(next)]);
    expect(again?.descriptors.map(digestOf)).to.deep.equal(descriptors.map(digestOf));
  });

  it("rejects with the signal's reason, and with what is wrong about an offer", async () => {
    const [node] = await start(1);
    const offer = offerOf([], [], {
      segmentBytes: [MIB],
      nodes: [0, 1].map((nodeRank) => ({ nodeRank, address: "127.0.0.1:1" })),
      owners: [1],
    });
    const controller = new AbortController();
    const waiting = node?.receive(offer, { signal: controller.signal });
    controller.abort(new Error("enough"));
    expect(await waiting?.catch((error: Error) => error.message)).to.equal("enough");
    expect(await node?.receive({ ...offer, chunkBytes: 0 }).catch((error: { code: string }) => error.code)).to.equal(
      "RANKCAST_BROADCAST_OFFER",
    );
  });

  it("goes through TLS with the job's token where it leaves the machine", async function () {
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((each) => each && !each.internal && each.family === "IPv4")?.address;
    if (outside === undefined) {
      process.stdout.write("    no address but loopback: TLS lane not tried\n");
      this.skip();
    }
    const nodes = await start(3, { listen: `${outside}:0` });
    const descriptors = twoSegments();
    const offer = offerOf(nodes, descriptors, { connections: 3 });
    const [owner, ...receivers] = nodes;
    const [, ...received] = await Promise.all([owner?.offer(offer, descriptors), ...receivers.map((each) => each.receive(offer))]);
    for (const each of received) expect(each?.descriptors.map(digestOf)).to.deep.equal(descriptors.map(digestOf));
  });
});
