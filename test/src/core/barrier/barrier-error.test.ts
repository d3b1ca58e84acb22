/** Decisions as errors. */
import { DistributionError, FormatError } from "@rankcast/core";
import {
  busyError,
  createBarrierState,
  decisionError,
  describeMember,
  type FailDecision,
  type FailureCause,
  type MemberReport,
  refusalError,
  toErrorRecord,
} from "@rankcast/core/internal";
import { expect } from "chai";

const MEMBER: MemberReport = {
  rank: 3,
  place: { localRank: 1, nodeRank: 1, host: "host-b", pid: 4242 },
  status: "present",
  phase: "broadcast 71 %",
  silentMs: 12_400,
};

function failure(cause: FailureCause, later: readonly FailureCause[] = []): FailDecision {
  const base = { epoch: 1, name: "load", generation: 7, sequence: 9, participants: null, openedMs: 100, decidedMs: 2600 };
  return { ...base, outcome: "fail", cause, missing: { ranks: [5], reports: [] }, later };
}

describe("barrier errors", () => {
  it("keep class, code, remedy and fields of the failing rank's own error", () => {
    const own = new FormatError("RANKCAST_LIMIT", "header: 7 is above 6", { details: { limit: "x", allowed: 6 }, remedy: "Raise x." });
    const error = decisionError(failure({ kind: "failed", member: MEMBER, error: toErrorRecord(own) }));
    expect(error).to.be.instanceOf(FormatError);
    expect(error).to.include({ code: "RANKCAST_LIMIT", class: "limit", remedy: "Raise x.", name: "FormatError" });
    expect(error.message).to.equal("rank 3 (node 1, host-b, pid 4242): header: 7 is above 6");
    expect(error.details).to.deep.include({
      ...{ limit: "x", allowed: 6, barrier: "load", generation: 7, missing: [5], waitedMs: 2500 },
      rootCause: { rank: 3, nodeRank: 1, host: "host-b", pid: 4242, code: "RANKCAST_LIMIT", message: "header: 7 is above 6" },
    });
    expect(error.cause).to.be.instanceOf(FormatError);
  });

  it("wrap a foreign error with its name", () => {
    const error = decisionError(failure({ kind: "failed", member: MEMBER, error: toErrorRecord(new RangeError("too big")) }));
    expect(error).to.be.instanceOf(DistributionError);
    expect(error).to.include({ code: "RANKCAST_RANK_FAILED", class: "peer" });
    expect(error.message).to.include("RangeError: too big");
    expect((error.cause as Error).message).to.equal("too big");
  });

  it("keep pointing at the first cause when a consequence is brought to the barrier", () => {
    const first = decisionError(failure({ kind: "loss", lost: { ranks: [9], reports: [{ ...MEMBER, rank: 9 }] } }));
    const second = decisionError(failure({ kind: "failed", member: MEMBER, error: toErrorRecord(first) }));
    expect(second.details["rootCause"]).to.deep.include({ rank: 9, code: "RANKCAST_RANK_LOST" });
  });

  it("list what failed later", () => {
    const later: FailureCause = { kind: "failed", member: { ...MEMBER, rank: 4 }, error: { name: "Error", message: "also" } };
    const error = decisionError(failure({ kind: "abort", member: null, error: { name: "Error", message: "stop" } }, [later]));
    expect(error.code).to.equal("RANKCAST_RANK_ABORTED");
    expect(error.details["later"]).to.deep.include.members([
      { rank: 4, nodeRank: 1, host: "host-b", pid: 4242, code: "RANKCAST_RANK_FAILED", message: "Error: also" },
    ]);
  });

  it("name every kind of cause with its own code", () => {
    const list = { ranks: [3], reports: [MEMBER] };
    const codes = (
      [
        { kind: "timeout", timeoutMs: 1000, stalled: list },
        { kind: "loss", lost: list },
        { kind: "left", left: list },
        { kind: "restart", member: MEMBER, incarnation: 1, replacedBy: 2 },
        { kind: "mismatch", about: "digest", first: { member: MEMBER, value: "a" }, other: { member: MEMBER, value: "\u001b[31m" } },
        { kind: "ahead", member: MEMBER, generation: 9, expected: 7 },
        { kind: "reset", epoch: 4 },
      ] satisfies FailureCause[]
    ).map((cause) => {
      const error = decisionError(failure(cause));
      expect(error.message).to.match(/^barrier "load", generation 7: /);
      expect(error.message).to.not.include("\u001b");
      return error.code.replace("RANKCAST_", "");
    });
    expect(codes.join(" ")).to.equal("BARRIER_TIMEOUT RANK_LOST RANK_LEFT RANK_LOST BARRIER_MISMATCH BARRIER_MISMATCH EPOCH_ENDED");
  });

  it("describe a member with all that is known", () => {
    expect(describeMember(MEMBER)).to.equal('rank 3 (node 1, host-b, pid 4242), in phase "broadcast 71 %", no progress for 12.4 s');
    const frozen = describeMember({ ...MEMBER, loss: { kind: "unresponsive", reason: "no sign of life for 10.5 s" } });
    expect(frozen).to.match(/which is not responding: no sign of life/);
    expect(describeMember({ rank: 2, place: null, status: "absent", phase: "", silentMs: null })).to.equal("rank 2, which never joined");
  });

  it("are made for refusals too", () => {
    const error = refusalError("fenced", { name: "load", generation: 2, epoch: 1 });
    expect(error).to.include({ code: "RANKCAST_FENCED", class: "coordinator-lost" });
    expect(busyError("load")).to.include({ code: "RANKCAST_BARRIER_BUSY", class: "usage" });
    expect(refusalError("too-many-names", { name: "x", generation: 1, epoch: 1 }).class).to.equal("limit");
  });

  it("refuse impossible worlds", () => {
    for (const options of [
      { epoch: 1, worldSize: 0 },
      { epoch: 1, worldSize: 65_537 },
      { epoch: -1, worldSize: 1 },
      { epoch: 1.5, worldSize: 1 },
    ]) {
      expect(() => createBarrierState(options))
        .to.throw()
        .with.property("class", "usage");
    }
  });
});
