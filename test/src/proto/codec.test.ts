import { COORDINATION_SERVICE, type CoordinatorMessage, type RankMessage, WireFormatError } from "@rankcast/proto";
import { expect } from "chai";

const { requestSerialize, requestDeserialize, responseSerialize, responseDeserialize } = COORDINATION_SERVICE.join;
const cause = { code: "RANKCAST_RANK_LOST", message: "gone", record: { name: "DistributionError", message: "gone", details: { rank: 3 } } };

describe("wire contract", () => {
  const fromRank: RankMessage[] = [
    {
      type: "hello",
      protocol: 1,
      jobId: "j",
      epoch: 2,
      rank: 3,
      localRank: 1,
      nodeRank: 0,
      worldSize: 4,
      localWorldSize: 4,
      incarnation: "x",
      pid: 4_194_304,
      host: "h",
    },
    { type: "arrive", barrier: "round/begin", generation: 4_294_967_295, digest: "d" },
    {
      type: "arrive",
      barrier: "b",
      generation: 1,
      digest: "",
      failure: cause,
      payload: { loadMs: 1.5, list: [null, "é"] },
      timeoutMs: 1000,
    },
    { type: "load", sequence: 1, weights: "https://h/ä.pt", options: { limits: { tensors: 5 } }, digest: "d" },
    { type: "publication", sequence: 2, manifest: Uint8Array.of(1, 2, 255), placement: { flat: [0, 9_007_199_254_740_991] } },
    { type: "progress", phase: "loading" },
    { type: "abort", cause },
    { type: "leave" },
  ];
  for (const message of fromRank) {
    it(`carries ${message.type} from a rank unchanged`, () => expect(requestDeserialize(requestSerialize(message))).to.deep.equal(message));
  }

  const toRank: CoordinatorMessage[] = [
    { type: "welcome", protocol: 1, jobId: "j", epoch: 0, nodeRank: 0, nodeCount: 1, barrierTimeoutMs: 0 },
    { type: "welcome", protocol: 1, jobId: "j", epoch: 0, nodeRank: 0, nodeCount: 1, barrierTimeoutMs: 0.5, incarnation: "1-2-3" },
    { type: "decision", barrier: "b", generation: 1, passed: true, payload: [1] },
    { type: "decision", barrier: "b", generation: 1, passed: false, cause },
    { type: "published", sequence: 1, manifest: new Uint8Array(0), placement: null },
    { type: "arriving", sequence: 2, manifest: new Uint8Array([7]), placement: { files: ["a.part"], flat: [0, 64], castTo: null } },
    { type: "aborted", cause },
  ];
  for (const message of toRank) {
    it(`carries ${message.type} to a rank unchanged`, () => {
      const carried = responseDeserialize(responseSerialize(message));
      expect(carried).to.deep.equal(message.type === "published" ? { ...message, placement: null } : message);
    });
  }

  it("bytes that are no message end the stream instead of being dropped", () => {
    for (const bytes of [Buffer.from([0x0a, 0xff]), Buffer.from("not protobuf"), Buffer.alloc(0)]) {
      expect(() => requestDeserialize(bytes)).to.throw(WireFormatError);
      expect(() => responseDeserialize(bytes)).to.throw(WireFormatError);
    }
  });
});
