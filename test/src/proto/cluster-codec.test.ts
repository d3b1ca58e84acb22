import { CLUSTER_SERVICE, type HeadMessage, type NodeMessage, WireFormatError } from "@rankcast/proto";
import { expect } from "chai";

const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = CLUSTER_SERVICE.join;
const cause = { code: "RANKCAST_NODE_LOST", message: "gone", record: { name: "DistributionError", message: "gone" } };
/** Larger than 32 bits, as epochs of launchers are. */
const EPOCH = 1_838_746_536_960;

describe("wire contract between nodes", () => {
  const join = {
    type: "join",
    nodeId: "n",
    jobId: "j",
    protocol: 1,
    host: "h",
    pid: 7,
    address: "h:1",
    localWorldSize: 2,
    worldSize: 4,
  } as const;
  const fromNode: NodeMessage[] = [
    { ...join, nodeCount: 2, nodeRank: 0, ranks: null, epoch: null },
    { ...join, nodeCount: null, nodeRank: null, ranks: [0, 2], epoch: EPOCH },
    { ...join, nodeCount: 2, nodeRank: 1, ranks: [1, 3], epoch: 0 },
    { type: "report", epoch: EPOCH },
    { type: "report", epoch: 0, failure: cause },
    { type: "abort", cause },
    { type: "heartbeat" },
    { type: "rank", rank: 0, message: { type: "arrive", barrier: "b", generation: 1, digest: "" } },
    { type: "rank", rank: 4, message: { type: "arrive", barrier: "b", generation: 1, digest: "d", timeoutMs: 5 }, also: [9, 5] },
    { type: "rank", rank: 3, message: { type: "leave" } },
    { type: "gone", rank: 3 },
    { type: "gone", rank: 3, reason: "has been stopped" },
    { type: "ready", sequence: 1, facts: { digest: null, sharedBytes: 2 ** 40 } },
    { type: "failed", sequence: 1, cause },
    { type: "owned", sequence: 2, rank: 1, manifest: Uint8Array.of(1, 255), placement: { flat: [0, 64], segmentBytes: [128] } },
    { type: "liveBrought", sequence: 2 ** 31, segments: [{ kind: "memfd", path: "/proc/1/fd/9", nbytes: 64 }], set: "of a node" },
    { type: "liveBrought", sequence: 2 ** 32 - 1, segments: [], set: "", cause },
    { type: "liveEncoded", sequence: 2 ** 31, segment: { kind: "memfd", path: "/proc/1/fd/9", nbytes: 64 } },
    { type: "liveEncoded", sequence: 2 ** 31, segment: null },
  ];
  for (const [index, message] of fromNode.entries()) {
    it(`carries ${message.type} from a node unchanged (${index})`, () =>
      expect(requestDeserialize(requestSerialize(message))).to.deep.equal(message));
  }

  const toNode: HeadMessage[] = [
    { type: "wait", epoch: EPOCH, joined: 1, nodeCount: 2 },
    { type: "start", membership: { epoch: EPOCH, nodes: [{ nodeRank: 0, ranks: [0, 1] }] } },
    { type: "restart", epoch: EPOCH + 1, cause },
    { type: "end" },
    { type: "end", cause },
    { type: "refused", cause },
    { type: "heartbeat" },
    { type: "rank", rank: null, message: { type: "decision", barrier: "b", generation: 1, passed: true } },
    {
      type: "rank",
      rank: 0,
      message: { type: "welcome", protocol: 1, jobId: "j", epoch: 0, nodeRank: 1, nodeCount: 2, barrierTimeoutMs: 600 },
    },
    { type: "rankRefused", rank: 0, kind: "duplicate", text: "twice" },
    { type: "rankRefused", rank: 5, kind: "", text: "" },
    { type: "offer", sequence: 1, offer: { owners: [0] }, manifest: Uint8Array.of(9), placement: { flat: [] } },
    { type: "release", sequence: 1 },
    { type: "over", sequence: 1, passed: true },
    { type: "over", sequence: 2, passed: false },
    { type: "liveServe", sequence: 2 ** 31, offer: { owners: [1] }, segments: [{ nbytes: 64 }] },
    { type: "liveBring", sequence: 2 ** 31, offer: { owners: [1] }, kept: { base: null } },
    { type: "liveBring", sequence: 2 ** 31, offer: { owners: [1] }, kept: null },
    { type: "liveEncode", sequence: 2 ** 31, source: { base: { generation: 3 } } },
    { type: "liveDrop", sequence: 2 ** 32 - 1 },
    { type: "rank", rank: 1, message: { type: "subscriptionEnded", subscription: 2, cause } },
  ];
  for (const [index, message] of toNode.entries()) {
    it(`carries ${message.type} to a node unchanged (${index})`, () =>
      expect(responseDeserialize(responseSerialize(message))).to.deep.equal(message));
  }

  it("bytes that are no message, or carry none where one belongs, end the stream", () => {
    const hollow = Buffer.from([0x2a, 0x02, 0x08, 0x03]);
    for (const bytes of [Buffer.from([0x0a, 0xff]), Buffer.from("not protobuf"), Buffer.alloc(0), hollow]) {
      expect(() => requestDeserialize(bytes)).to.throw(WireFormatError);
    }
    expect(() => responseDeserialize(Buffer.alloc(0))).to.throw(WireFormatError);
  });
});
