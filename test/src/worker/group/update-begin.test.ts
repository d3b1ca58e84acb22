import { setImmediate as nextTurn } from "node:timers/promises";
import { DistributionError, moduleFromStateDict, StateDict, Tensor } from "@rankcast/core";
import { type RankIdentity, TensorCopier } from "@rankcast/core/runtime";
import { type ChannelListener, Collectives, localReplicaSet, RankSession, ReplicaHost } from "@rankcast/worker/internal";
import { expect } from "chai";

const IDENTITY: RankIdentity = { rank: 0, localRank: 0, nodeRank: 0, worldSize: 2, localWorldSize: 2, nodeCount: 1 };
const HELLO = { type: "hello", protocol: 1, jobId: "job", epoch: 0, ...IDENTITY, incarnation: "", pid: process.pid, host: "host" } as const;
const WELCOME = { type: "welcome", protocol: 1, jobId: "job", epoch: 0, nodeRank: 0, nodeCount: 1 } as const;
/** Turns after which a source has said all that it says by itself. */
const TURNS = 10;

describe("the source of an update", () => {
  it("says that it is there together with its weights, where copying takes no time", async () => {
    const { arrive, publication } = await turnsOf(1);
    expect(publication).to.equal(arrive);
  });

  it("says so before it begins a long copy, which holds this thread up", async function () {
    this.timeout(30_000);
    const { arrive, publication } = await turnsOf(512);
    expect(publication).to.be.greaterThan(arrive);
  });

  it("says so before a shorter one, too, where ranks wait for each other no longer than it may take", async () => {
    const short = await turnsOf(16, 200);
    expect(short.publication).to.be.greaterThan(short.arrive);
    const long = await turnsOf(16, 300_000);
    expect(long.publication).to.equal(long.arrive);
  });
});

/** In which turn of the event loop a source of so many mebibytes first says each thing. */
async function turnsOf(mib: number, barrierTimeoutMs?: number): Promise<{ readonly arrive: number; readonly publication: number }> {
  let turn = 0;
  const said = new Map<string, number>();
  let coordinator: ChannelListener | undefined;
  const session = await RankSession.open("address", "token", HELLO, (_address, _token, listener) => {
    coordinator = listener;
    return {
      send({ type }) {
        if (!said.has(type)) said.set(type, turn);
        if (type === "hello") queueMicrotask(() => listener.onMessage({ ...WELCOME, ...(barrierTimeoutMs && { barrierTimeoutMs }) }));
      },
      close: async () => undefined,
      cut: () => undefined,
    };
  });
  const collectives = new Collectives(session, IDENTITY, false, new TensorCopier(null, 0));
  const weights = new StateDict([["weight", Tensor.from(new Float32Array(mib * 2 ** 18), [mib * 2 ** 18])]]);
  const replicas = localReplicaSet(new ReplicaHost(moduleFromStateDict(weights, { meta: true })));
  const updated = collectives.update(replicas, weights, { src: 0 }).catch((error: unknown) => error);
  for (; turn < TURNS; turn += 1) await nextTurn();
  // Nobody answers: the update ends with its coordinator.
  coordinator?.onEnd(new DistributionError("RANKCAST_COORDINATOR_LOST", "gone", {}));
  expect(await updated).to.have.property("code", "RANKCAST_COORDINATOR_LOST");
  collectives.release();
  return { arrive: said.get("arrive") ?? Number.NaN, publication: said.get("publication") ?? Number.NaN };
}
