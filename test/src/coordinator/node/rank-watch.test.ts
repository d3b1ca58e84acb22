/** Ranks that stand still are lost, once, and told so. */
import { type CoordinatorMessage, type Hello, type RankConnection, RankWatch } from "@rankcast/coordinator/internal";
import { expect } from "chai";

const connectionOf = (rank: number, heard: string[]): RankConnection => ({
  hello: { rank, nodeRank: 0, host: "h", pid: 1, localRank: rank, incarnation: `tag ${rank}` } as Hello,
  send: (message: CoordinatorMessage) => heard.push(`${rank} hears ${message.type === "aborted" ? message.cause.message : message.type}`),
  refuse: () => heard.push(`${rank} is refused`),
  end: () => heard.push(`${rank} is ended`),
});

describe("RankWatch", () => {
  const heard: string[] = [];
  const stopped = new Map<string, number>();
  let watch: RankWatch;
  beforeEach(() => {
    heard.length = 0;
    stopped.clear();
    const target = {
      onJoin: ({ hello }: RankConnection) => heard.push(`${hello.rank} joins`),
      onMessage: ({ hello }: RankConnection) => heard.push(`${hello.rank} speaks`),
      onEnd: ({ hello }: RankConnection, reason?: string) => heard.push(`${hello.rank} is gone: ${reason ?? ""}`),
    };
    watch = new RankWatch(target, {
      silenceMs: 4000,
      watch: (tag) => ({ look: () => stopped.get(tag) ?? 0, heard: () => heard.push(`${tag} is heard`) }),
    });
  });
  afterEach(() => watch.close());

  it("passes on what ranks do", () => {
    const connection = connectionOf(1, heard);
    watch.onJoin(connection);
    watch.onMessage(connection, { type: "leave" });
    watch.onEnd(connection);
    watch.onEnd(connection);
    expect(heard).to.deep.equal(["1 joins", "tag 1 is heard", "1 speaks", "1 is gone: "]);
  });

  it("gives up a rank that stands still longer than the bound, and nothing of it counts any more", () => {
    const [one, two] = [connectionOf(1, heard), connectionOf(2, heard)];
    watch.onJoin(one);
    watch.onJoin(two);
    stopped.set("tag 2", 3999);
    watch.look(0);
    expect(heard).to.deep.equal(["1 joins", "2 joins"]);
    stopped.set("tag 2", 4200);
    watch.look(0);
    watch.look(0);
    expect(heard.slice(2)).to.deep.equal([
      "2 is gone: has been stopped for 4.2 s",
      "2 hears rank 2 (node 0, h, pid 1) has been stopped for 4.2 s while others depended on it",
      "2 is ended",
    ]);
    watch.onMessage(two, { type: "leave" });
    watch.onEnd(two);
    expect(heard).to.have.length(5);
  });
});
