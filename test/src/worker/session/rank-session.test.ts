import { type CheckpointError, DistributionError } from "@rankcast/core";
import { toErrorRecord } from "@rankcast/core/internal";
import type { CoordinatorMessage, Hello, RankMessage } from "@rankcast/proto";
import { type ChannelListener, RankSession } from "@rankcast/worker/internal";
import { expect } from "chai";

const HELLO: Hello = {
  type: "hello",
  protocol: 1,
  jobId: "j",
  epoch: 0,
  rank: 0,
  localRank: 0,
  nodeRank: 0,
  worldSize: 1,
  localWorldSize: 1,
  incarnation: "i",
  pid: 1,
  host: "h",
};

/** A coordinator by hand. */
class FakeChannel {
  readonly said: RankMessage[] = [];
  listener: ChannelListener | null = null;
  readonly open = (_address: string, _token: string, listener: ChannelListener) => {
    this.listener = listener;
    return {
      send: (message: RankMessage) => {
        this.said.push(message);
        if (message.type === "hello")
          queueMicrotask(() => this.say({ type: "welcome", protocol: 1, jobId: "j", epoch: 0, nodeRank: 0, nodeCount: 1 }));
      },
      close: async () => this.listener?.onEnd(null),
      cut: () => this.listener?.onEnd(null),
    };
  };
  say(message: CoordinatorMessage): void {
    this.listener?.onMessage(message);
  }
}

async function open(): Promise<{ session: RankSession; channel: FakeChannel }> {
  const channel = new FakeChannel();
  return { session: await RankSession.open("a", "t", HELLO, channel.open), channel };
}

const cause = (error: Error) => ({ code: "", message: error.message, record: toErrorRecord(error) });
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "passed",
    (error: CheckpointError) => error.code ?? error.name,
  );

describe("RankSession", () => {
  it("tells a subscription that it ended, with the cause, and no other one", async () => {
    const { session, channel } = await open();
    const ended: string[] = [];
    const listen = (name: string) => ({
      onOffered: () => undefined,
      onNewest: () => undefined,
      onEnded: (error: Error) => ended.push(`${name}: ${(error as CheckpointError).code}`),
    });
    session.subscribe("latest", listen("one"));
    const subscription = session.subscribe("every", listen("other"));
    const failure = cause(new DistributionError("RANKCAST_BROADCAST_STALLED", "nothing comes", {}));
    channel.say({ type: "subscriptionEnded", subscription, cause: failure });
    expect(ended).to.deep.equal(["other: RANKCAST_BROADCAST_STALLED"]);
    session.unsubscribe(subscription);
    channel.say({ type: "subscriptionEnded", subscription, cause: failure });
    expect(ended.length).to.equal(1);
  });

  it("counts generations per barrier and resolves with the coordinator's payload", async () => {
    const { session, channel } = await open();
    const first = session.arrive({ barrier: "a", digest: "" });
    const other = session.arrive({ barrier: "b", digest: "" });
    channel.say({ type: "decision", barrier: "b", generation: 1, passed: true, payload: 2 });
    channel.say({ type: "decision", barrier: "a", generation: 1, passed: true, payload: 1 });
    expect([await first, await other]).to.deep.equal([1, 2]);
    const second = session.arrive({ barrier: "a", digest: "" });
    channel.say({ type: "decision", barrier: "a", generation: 2, passed: true });
    await second;
    expect(channel.said.flatMap((message) => (message.type === "arrive" ? [`${message.barrier}${message.generation}`] : []))).to.deep.equal(
      ["a1", "b1", "a2"],
    );
  });

  it("rejects with the root cause: its class, code and details", async () => {
    const { session, channel } = await open();
    const arrived = session.arrive({ barrier: "a", digest: "" });
    const error = new DistributionError("RANKCAST_RANK_LOST", "gone", { details: { rootCause: { rank: 2 } } });
    channel.say({ type: "decision", barrier: "a", generation: 1, passed: false, cause: cause(error) });
    const caught = await arrived.catch((each: unknown) => each);
    expect(caught).to.be.instanceOf(DistributionError).with.nested.property("details.rootCause.rank", 2);
  });

  it("hears of a failure before it has arrived", async () => {
    const { session, channel } = await open();
    const doomed = codeOf(session.nextDecision("a"));
    channel.say({
      type: "decision",
      barrier: "a",
      generation: 1,
      passed: false,
      cause: cause(new DistributionError("RANKCAST_RANK_LOST", "gone", {})),
    });
    expect(await doomed).to.equal("RANKCAST_RANK_LOST");
  });

  it("keeps weights that came before anybody asked", async () => {
    const { session, channel } = await open();
    channel.say({ type: "published", sequence: 1, manifest: Uint8Array.of(7), placement: null });
    expect((await session.published(1)).manifest).to.deep.equal(Uint8Array.of(7));
  });

  it("an abort rejects everything that waits and everything later, with the first reason", async () => {
    const { session, channel } = await open();
    const waiting = [codeOf(session.arrive({ barrier: "a", digest: "" })), codeOf(session.published(1))];
    channel.say({ type: "aborted", cause: cause(new DistributionError("RANKCAST_RANK_LOST", "gone", {})) });
    channel.listener?.onEnd(new DistributionError("RANKCAST_COORDINATOR_LOST", "closed", {}));
    waiting.push(codeOf(session.arrive({ barrier: "b", digest: "" })));
    expect(await Promise.all(waiting)).to.deep.equal(new Array(3).fill("RANKCAST_RANK_LOST"));
  });

  it("a coordinator that is gone is no failure of the barrier: its outcome is unknown", async () => {
    const { session, channel } = await open();
    const arrived = codeOf(session.arrive({ barrier: "a", digest: "" }));
    channel.listener?.onEnd(new DistributionError("RANKCAST_COORDINATOR_LOST", "closed", {}));
    expect(await arrived).to.equal("RANKCAST_COORDINATOR_LOST");
  });

  it("is not opened when the coordinator refuses", async () => {
    const refused = RankSession.open("a", "t", HELLO, (_address, _token, listener) => {
      queueMicrotask(() => listener.onEnd(new DistributionError("RANKCAST_TOKEN_REFUSED", "no", {})));
      return { send: () => undefined, close: async () => undefined, cut: () => undefined };
    });
    expect(await codeOf(refused)).to.equal("RANKCAST_TOKEN_REFUSED");
  });

  it("says goodbye once", async () => {
    const { session, channel } = await open();
    await session.close();
    await session.close();
    expect(channel.said.filter(({ type }) => type === "leave")).to.have.length(1);
  });
});
