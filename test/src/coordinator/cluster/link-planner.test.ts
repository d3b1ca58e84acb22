/** The head's plan of links: connections and what a hop costs, from addresses, sizes and what nodes have reported. */
import { LinkPlanner } from "@rankcast/coordinator/internal";
import { DEFAULT_HOP } from "@rankcast/core/internal";
import { expect } from "chai";

type Members = Parameters<LinkPlanner["plan"]>[1];

const MIB = 2 ** 20;
const members = (...addresses: string[]): Members =>
  addresses.map((address, nodeRank) => ({ nodeId: `n${nodeRank}`, nodeRank, host: "h", pid: 1, address, ranks: [nodeRank] }));

describe("link planner", () => {
  const far = members("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1");

  it("plans one connection on a machine, four between machines, and what it is told", () => {
    const planned = (connections: number | null, nodes: Members) =>
      new LinkPlanner(connections).plan([512 * MIB, 512 * MIB], nodes).connections;
    expect(planned(null, far)).to.equal(4);
    expect(planned(null, members("127.0.0.1:1", "[::1]:2", "unix:/x"))).to.equal(1);
    expect(planned(null, members("127.0.0.1:1", "10.0.0.2:2"))).to.equal(4);
    expect(planned(3, members("127.0.0.1:1", "127.0.0.1:2"))).to.equal(3);
  });

  it("counts the fastest answer of each node, and their mean", () => {
    const links = new LinkPlanner(null);
    expect(links.plan([MIB], far).hop).to.deep.equal(DEFAULT_HOP);
    for (const ms of [9, 4, 7]) links.learn(1, ms);
    links.learn(2, 8);
    links.learn(2, Number.NaN);
    expect(links.plan([MIB], far).hop.roundTripMs).to.equal(6);
  });
});
