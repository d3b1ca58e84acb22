/** Ranks of a node wait for the ones that are missing, and not for ever. */
import { Lobby, type RankConnection } from "@rankcast/coordinator/internal";
import { expect } from "chai";

/** A rank's connection, and the first thing it hears. */
function rankOf(localRank: number): { readonly connection: RankConnection; readonly heard: Promise<unknown> } {
  let hear: (message: unknown) => void = () => undefined;
  const heard = new Promise<unknown>((resolve) => {
    hear = resolve;
  });
  const hello = {
    rank: 4 + localRank,
    nodeRank: 1,
    host: "h",
    pid: 1,
    localRank,
    incarnation: `tag ${localRank}`,
  } as RankConnection["hello"];
  return { heard, connection: { hello, send: (message) => hear(message), refuse: () => undefined, end: () => undefined } };
}

describe("Lobby", () => {
  const filled: (readonly number[])[] = [];
  const lobbyOf = (joinTimeoutMs: number): Lobby =>
    new Lobby({ localWorldSize: 3, full: { joinTimeoutMs, onFull: (ranks) => filled.push([...ranks]) } });
  beforeEach(() => {
    filled.length = 0;
  });

  it("says who has come, by local rank, once all have", () => {
    const lobby = lobbyOf(60_000);
    const ranks = [2, 0, 1].map(rankOf);
    for (const { connection } of ranks) lobby.onJoin(connection);
    expect(filled).to.deep.equal([[4, 5, 6]]);
    for (const { connection } of ranks) lobby.onEnd(connection);
    expect(lobby.isOver).to.equal(true);
  });

  it("names the local ranks that have not come in time, to those that come later, too", async () => {
    const lobby = lobbyOf(20);
    const ranks = [rankOf(1), rankOf(0)];
    lobby.onJoin((ranks[0] as ReturnType<typeof rankOf>).connection);
    const cause = { code: "RANKCAST_RANKS_MISSING" };
    expect(await ranks[0]?.heard)
      .to.have.property("cause")
      .that.includes(cause);
    lobby.onJoin((ranks[1] as ReturnType<typeof rankOf>).connection);
    expect(await ranks[1]?.heard)
      .to.have.property("cause")
      .that.includes({ ...cause, message: "2 of the 3 ranks of this node did not join within 0.02 s: local rank 0, 2" });
    expect(filled).to.deep.equal([]);
  });

  it("bounds the wait of one that comes again after all had left", async () => {
    const lobby = lobbyOf(20);
    const early = rankOf(0);
    lobby.onJoin(early.connection);
    lobby.onEnd(early.connection);
    const again = rankOf(0);
    lobby.onJoin(again.connection);
    expect(await again.heard).to.have.property("type", "aborted");
  });
});
