import { LaneTickets, TICKET_MS } from "@rankcast/coordinator/internal";
import { expect } from "chai";

describe("LaneTickets", () => {
  let nowMs = 0;
  const tickets = (): LaneTickets<string> => {
    nowMs = 0;
    return new LaneTickets(() => nowMs);
  };

  it("open once, for the one they were given to", () => {
    const issued = tickets();
    const [one, two] = [issued.issue("one"), issued.issue("two")];
    expect([issued.take(two), issued.take(one), issued.take(one)]).to.deep.equal(["two", "one", null]);
  });

  it("a guess opens nothing and leaves the ticket good", () => {
    const issued = tickets();
    const ticket = issued.issue("one");
    for (const at of [0, 4, ticket.length - 1]) {
      const guess = Buffer.from(ticket);
      guess[at] = (guess[at] ?? 0) ^ 1;
      expect(issued.take(guess)).to.equal(null);
    }
    expect(issued.take(ticket.subarray(1))).to.equal(null);
    expect(issued.take(ticket)).to.equal("one");
  });

  it("one that is revoked or too old opens nothing", () => {
    const issued = tickets();
    const revoked = issued.issue("one");
    issued.revoke(revoked);
    const old = issued.issue("two");
    const young = issued.issue("three");
    nowMs = TICKET_MS;
    expect([issued.take(revoked), issued.take(young)]).to.deep.equal([null, "three"]);
    nowMs += 1;
    expect(issued.take(old)).to.equal(null);
  });

  it("no two are alike, and all of a ticket's 32 random bytes are used", () => {
    const issued = tickets();
    const secrets = Array.from({ length: 200 }, () => issued.issue("one").subarray(4).toString("hex"));
    expect(new Set(secrets).size).to.equal(200);
    for (let at = 0; at < 64; at += 2) expect(new Set(secrets.map((secret) => secret.slice(at, at + 2))).size).to.be.above(20);
  });
});
