/** What goes to the head together, and what does not. */
import { TurnQueue } from "@rankcast/coordinator/internal";
import type { Arrive, NodeMessage } from "@rankcast/proto";
import { expect } from "chai";

const arrive = (rank: number, more: Partial<Arrive> = {}): NodeMessage => ({
  type: "rank",
  rank,
  message: { type: "arrive", barrier: "b", generation: 1, digest: "d", ...more },
});

/** What is sent after everything was said in one turn. */
async function sent(...messages: NodeMessage[]): Promise<NodeMessage[]> {
  const out: NodeMessage[] = [];
  const queue = new TurnQueue((message) => out.push(message));
  for (const message of messages) queue.add(message);
  expect(out).to.deep.equal([]);
  await new Promise((resolve) => setImmediate(resolve));
  return out;
}

describe("messages of one turn", () => {
  it("are one where ranks arrive at the same barrier alike", async () => {
    expect(await sent(arrive(4), arrive(6), arrive(5))).to.deep.equal([{ ...arrive(4), also: [6, 5] }]);
  });

  it("keep their order, and what differs stays apart", async () => {
    const gone: NodeMessage = { type: "gone", rank: 4 };
    const phase: NodeMessage = { type: "rank", rank: 5, message: { type: "progress", phase: "p" } };
    const different = [
      arrive(1, { barrier: "c" }),
      arrive(2, { generation: 2 }),
      arrive(3, { digest: "e" }),
      arrive(4, { timeoutMs: 7 }),
      arrive(5, { payload: 1 }),
      arrive(6, { payload: 1 }),
      arrive(7, { failure: { code: "c", message: "m", record: {} } }),
      arrive(8, { failure: { code: "c", message: "m", record: {} } }),
    ];
    const all = [arrive(0), gone, arrive(0), phase, phase, arrive(9), ...different];
    expect(await sent(...all)).to.deep.equal(all);
  });

  it("do not mix turns, and what is flushed goes at once", async () => {
    const out: NodeMessage[] = [];
    const queue = new TurnQueue((message) => out.push(message));
    queue.add(arrive(1));
    queue.flush();
    queue.add(arrive(2));
    await new Promise((resolve) => setImmediate(resolve));
    queue.add(arrive(3));
    await new Promise((resolve) => setImmediate(resolve));
    expect(out).to.deep.equal([arrive(1), arrive(2), arrive(3)]);
  });

  it("leave the messages of their senders as they are", async () => {
    const first = Object.freeze(arrive(1));
    await sent(first, arrive(2));
    expect(first).to.deep.equal(arrive(1));
  });
});
