import { compileLimits, SourceError } from "@rankcast/core";
import { parseRetryAfter, RetryPolicy } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

describe("RetryPolicy", () => {
  const network = (details: Record<string, string | number> = {}): SourceError => new SourceError("RANKCAST_NETWORK", "n", { details });
  const setUp = (overrides: Partial<Record<string, number>> = {}) => {
    let now = 0;
    const slept: number[] = [];
    const pass = (ms: number): void => {
      now += ms;
    };
    const sleep = async (ms: number): Promise<void> => {
      slept.push(ms);
      pass(ms);
    };
    const clock = { now: () => now, random: () => 1, sleep };
    const policy = new RetryPolicy(compileLimits({ idleMs: 30_000, ...overrides }), undefined, clock);
    return { policy, slept, pass, run: policy.start() };
  };

  it("doubles its pauses and gives up after the tries", async () => {
    const { policy, slept, run } = setUp();
    for (let tries = 0; tries < 4; tries += 1) await policy.again(run, network(), "x", undefined);
    expect(slept).to.deep.equal([250, 500, 1000, 2000]);
    await expectError("RANKCAST_NETWORK", policy.again(run, network(), "x", undefined));
    expect(policy.retries).to.equal(4);
  });

  it("gives a silent server a third of the limit per try and all of it together", async () => {
    const { policy, pass, run } = setUp();
    const silence = new SourceError("RANKCAST_NETWORK_SILENT", "s");
    for (let tries = 0; tries < 2; tries += 1) {
      expect(policy.attemptIdleMs).to.equal(10_000);
      pass(10_000);
      await policy.again(run, silence, "x", undefined);
    }
    pass(policy.attemptIdleMs);
    const error = await expectError("RANKCAST_NETWORK_SILENT", policy.again(run, silence, "x", undefined));
    expect(error.details).to.include({ idleMs: 30_000 });
  });

  it("counts a byte as life, and a pause the server asked for not as silence", async () => {
    const { policy, slept, pass, run } = setUp();
    pass(29_000);
    policy.sign();
    expect(policy.attemptIdleMs).to.equal(10_000);
    const busy = new SourceError("RANKCAST_HTTP_STATUS", "b", { details: { status: 503, retryAfterMs: 90_000 } });
    await policy.again(run, busy, "x", undefined);
    expect(slept).to.deep.equal([30_000]);
    expect(policy.attemptIdleMs).to.equal(10_000);
  });

  it("does not try again what can not get better, and bounds all tries", async () => {
    const { policy, run } = setUp({ httpRetries: 2 });
    await expectError("RANKCAST_NETWORK", policy.again(run, network({ systemError: "ENOTFOUND" }), "x", undefined));
    for (const code of ["RANKCAST_TLS", "RANKCAST_HTTP_RANGE", "RANKCAST_NOT_FOUND", "RANKCAST_DISK_FULL"] as const) {
      await expectError(code, policy.again(run, new SourceError(code, "x"), "x", undefined));
    }
    const bug = new TypeError("bug");
    expect(await policy.again(run, bug, "x", undefined).catch((error: unknown) => error)).to.equal(bug);
    for (let tries = 0; tries < 2; tries += 1) await policy.again(policy.start(), network(), "x", undefined);
    await expectError("RANKCAST_NETWORK", policy.again(policy.start(), network(), "x", undefined));
  });

  it("reads Retry-After as seconds or a date", () => {
    expect(parseRetryAfter("7")).to.equal(7000);
    expect(parseRetryAfter("Wed, 21 Oct 2015 07:28:10 GMT", Date.parse("2015-10-21T07:28:00Z"))).to.equal(10_000);
    expect(parseRetryAfter("Wed, 21 Oct 2015 07:28:10 GMT", Date.parse("2016-10-21T07:28:00Z"))).to.equal(0);
    for (const bad of [null, "", "soon", "-5", "99999999999"]) expect(parseRetryAfter(bad), String(bad)).to.equal(undefined);
  });
});
