/** The head's judgement of silence, on real timers: a process that could not run for a while blames nobody else for it. */
import { type DriverHost, RendezvousDriver } from "@rankcast/coordinator/internal";
import { expect } from "chai";

const SILENCE_MS = 400;
const OPTIONS = {
  jobId: "job",
  protocol: 1,
  nodeCount: 2,
  worldSize: 2,
  maxRestarts: 0,
  firstEpoch: 0,
  joinTimeoutMs: 60_000,
  silenceMs: SILENCE_MS,
};

describe("the head's judgement of silence", () => {
  let driver: RendezvousDriver;
  let seats: ReturnType<RendezvousDriver["connect"]>[];
  let lost: Promise<{ readonly nodeRank: number; readonly message: string; readonly silence: string | undefined }>;
  let failed: Promise<string>;
  let beat: NodeJS.Timeout;

  beforeEach(() => {
    const host: Partial<DriverHost> = { now: () => performance.now(), onStart: () => undefined, onOpen: () => undefined };
    lost = new Promise((resolve) => {
      host.onNodeLost = ({ nodeRank }, { message }, silence) => resolve({ nodeRank, message, silence });
    });
    failed = new Promise((resolve) => {
      host.onFailed = ({ message }) => resolve(message);
    });
    driver = new RendezvousDriver(OPTIONS, host as DriverHost);
    driver.begin();
    seats = [0, 1].map((nodeRank) => {
      const seat = driver.connect({ send: () => undefined, end: () => undefined });
      const place = { nodeId: `node ${nodeRank}`, nodeRank, host: "h", pid: 100 + nodeRank, address: `127.0.0.1:${nodeRank + 1}` };
      seat.hear({
        type: "join",
        jobId: "job",
        protocol: 1,
        nodeCount: 2,
        ...place,
        localWorldSize: 1,
        ranks: null,
        epoch: null,
        worldSize: 2,
      });
      return seat;
    });
    beat = setInterval(() => seats[0]?.hear({ type: "heartbeat" }), SILENCE_MS / 8);
  });

  afterEach(() => {
    clearInterval(beat);
    driver.close();
  });

  it("gives up a node that nothing is heard of, and says for how long nothing was", async () => {
    const { nodeRank, message, silence } = await lost;
    expect(nodeRank).to.equal(1);
    expect(silence).to.match(/^no sign of life for 0\.[4-9] s$/);
    expect(message)
      .to.include(`lost node 1`)
      .and.include(silence as string);
    expect(await failed).to.equal(message);
  });

  it("says no silence of a node whose stream has ended", async () => {
    seats[1]?.lose("its connection closed");
    expect(await lost).to.deep.include({ nodeRank: 1, silence: undefined });
  });

  it("waits for another sign of life after the head itself stood still", async () => {
    const stillMs = performance.now() + 2 * SILENCE_MS;
    while (performance.now() < stillMs);
    // The other node stood still, too: it says something again when it has come to it.
    const spoken = new Promise<string>((resolve) => {
      setTimeout(() => {
        seats[1]?.hear({ type: "heartbeat" });
        resolve("spoken");
      }, SILENCE_MS / 5);
    });
    expect(await Promise.race([spoken, lost.then(({ message }) => message)])).to.equal("spoken");
    // And is given up when it says nothing more.
    expect((await lost).nodeRank).to.equal(1);
  });
});
