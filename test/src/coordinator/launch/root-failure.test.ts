/** Which of several failures was the first. */
import type { RankFailure } from "@rankcast/coordinator";
import { rootFailure } from "@rankcast/coordinator/internal";
import { expect } from "chai";
import fc from "fast-check";

function failure(rank: number, failedMs: number, blames: number | null): RankFailure {
  const rest = {
    localRank: rank,
    nodeRank: 0,
    host: "h",
    pid: rank,
    exitCode: 1,
    signal: null,
    failedUnixMs: 0,
    errorFile: null,
    message: "",
    error: null,
  };
  return { rank, failedMs, blames, ...rest };
}

describe("rootFailure", () => {
  it("finds the rank that was killed among those that failed because of it, however late its end was noticed", () => {
    fc.assert(
      fc.property(
        fc.record({
          root: fc.nat(63),
          noticedMs: fc.integer({ min: 0, max: 1000 }),
          // Ranks that heard of it through a barrier, with their own, sometimes earlier, time.
          followers: fc.uniqueArray(fc.nat(63), { maxLength: 20 }),
          followedMs: fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 20, maxLength: 20 }),
        }),
        ({ root, noticedMs, followers, followedMs }) => {
          const others = followers.filter((rank) => rank !== root).map((rank, at) => failure(rank, followedMs[at] ?? 0, root));
          const failures = [...others.slice(2), failure(root, noticedMs, null), ...others.slice(0, 2)];
          expect(rootFailure(failures)?.rank).to.equal(root);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("goes by time among failures of their own", () => {
    const times = fc.uniqueArray(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(times, (failedMs) => {
        const failures = failedMs.map((ms, rank) => failure(rank, ms, rank % 3 === 0 ? rank : null));
        expect(rootFailure(failures)?.failedMs).to.equal(Math.min(...failedMs));
      }),
    );
    expect(rootFailure([])).to.equal(null);
  });
});
