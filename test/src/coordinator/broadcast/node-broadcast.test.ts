/** The whole data plane on loopback: threads, sockets, segments. Bytes are compared with what the owner had. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
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

  for (const [what, more] of [
    ["over TCP", {}],
    ["over TCP without mappings", { noMmap: true }],
    ["over gRPC", { lane: "grpc" }],
  ] as const) {
    it(`brings every byte to five nodes ${what}`, async () => {
      const nodes = await start(5, more);
      const descriptors = twoSegments();
      const offer = offerOf(nodes, descriptors);
      const [owner, ...receivers] = nodes;
      const seen: number[] = [];
      const [, ...received] = await Promise.all([
        owner?.offer(offer, descriptors),
        ...receivers.map((each) => each.receive(offer, { onProgress: (bytes) => seen.push(bytes) })),
      ]);
      for (const each of received) expect(each?.descriptors.map(digestOf)).to.deep.equal(descriptors.map(digestOf));
      expect(Math.max(...seen)).to.equal(offer.segmentBytes.reduce((sum, nbytes) => sum + nbytes));
    });
  }
});
