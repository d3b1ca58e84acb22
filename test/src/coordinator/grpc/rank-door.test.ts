/** What strangers, and ranks that have lost their way, can do at the door of a node's ranks. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { CoordinationServer } from "@rankcast/coordinator/internal";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { numbered, openRank, RecordedListener, type RecordedRank, startServer, WELCOME } from "./rank-job.ts";
import { SocketTap } from "./socket-tap.ts";

const MAGIC = Buffer.from("RKL\u0001");

describe("the door of a node's ranks", function () {
  this.timeout(20_000);
  const directory = temporaryDirectory();
  let path: string;
  let listener: RecordedListener;
  let server: CoordinationServer;
  let tap: SocketTap;
  const sockets: Socket[] = [];

  async function open(limits: { silenceMs?: number; strangers?: number } = {}): Promise<void> {
    path = `${directory()}/coordinator.sock`;
    listener = new RecordedListener();
    server = await startServer(`unix:${path}`, listener, { limits });
    tap = await SocketTap.open(`${directory()}/tap.sock`, path);
  }
  afterEach(async () => {
    tap.close();
    for (const each of sockets.splice(0)) each.destroy();
    await server.close();
  });

  /** A connection of a stranger's. */
  function dial(...parts: readonly Uint8Array[]): Socket {
    const socket = connect(path);
    sockets.push(socket);
    socket.on("error", () => undefined);
    socket.resume();
    for (const part of parts) socket.write(part);
    return socket;
  }

  const isClosed = (socket: Socket): Promise<unknown> => (socket.closed ? Promise.resolve() : once(socket, "close"));

  /** A rank that has been welcomed, through the tap. */
  async function join(): Promise<RecordedRank> {
    const rank = openRank(`unix:${directory()}/tap.sock`);
    (await listener.joined.count(listener.joined.all.length + 1)).at(-1)?.send(WELCOME);
    return rank;
  }

  /** Both ways are open. */
  async function expectHealthy(rank: RecordedRank): Promise<void> {
    const [said, heard] = [listener.messages.all.length, rank.messages.all.length];
    rank.channel.send({ type: "progress", phase: "well" });
    await listener.messages.count(said + 1);
    listener.joined.all[0]?.send(numbered(1));
    await rank.messages.count(heard + 1);
    expect(rank.ends.all).to.deep.equal([]);
  }

  it("turns away who shows no ticket, a wrong one or one that has been used, without a word, and ranks go on", async () => {
    await open();
    const rank = await join();
    await rank.messages.count(1);
    const shown = (await tap.lane()).sent().subarray(0, 40);
    expect(shown.subarray(0, 4)).to.deep.equal(MAGIC);
    const wrong = Buffer.from(shown);
    wrong[39] = (wrong[39] ?? 0) ^ 1;
    const attempts = [shown, wrong, Buffer.concat([Buffer.from("RKL2"), shown.subarray(4)]), Buffer.concat([MAGIC, Buffer.alloc(36)])];
    for (const attempt of attempts) {
      const socket = dial(attempt);
      await isClosed(socket);
      expect(socket.bytesRead).to.equal(0);
    }
    await expectHealthy(rank);
    rank.channel.cut();
  });

  it("a ticket of a rank that is gone opens nothing", async () => {
    await open();
    tap.holdLanes = true;
    const rank = await join();
    const ticket = (await tap.lane()).sent();
    rank.channel.cut();
    await listener.ends.count(1);
    const socket = dial(ticket);
    await isClosed(socket);
    expect(socket.bytesRead).to.equal(0);
  });

  it("a rank whose ticket is not taken goes on over gRPC, and loses nothing", async () => {
    await open();
    tap.holdLanes = true;
    const rank = await join();
    const lane = await tap.lane();
    listener.joined.all[0]?.send(numbered(0));
    expect(rank.messages.all).to.deep.equal([]);
    lane.rank.destroy();
    expect((await rank.messages.count(2)).map(({ type }) => type)).to.deep.equal(["welcome", "newest"]);
    await expectHealthy(rank);
    rank.channel.send({ type: "leave" });
    await rank.channel.close();
    expect(listener.messages.all.at(-1)).to.deep.equal({ type: "leave" });
  });

  it("what comes on the lane waits for the stream's last message", async () => {
    await open();
    tap.holdStreamsBehindLane = true;
    const rank = await join();
    await tap.lane();
    // Said on the stream or on the lane, as it comes: each in its turn.
    for (let each = 0; each < 100; each += 1) {
      listener.joined.all[0]?.send(numbered(each));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(rank.messages.all).to.deep.equal([]);
    tap.release();
    const heard = await rank.messages.count(101);
    expect(heard.flatMap((message) => (message.type === "newest" ? [message.number] : []))).to.deep.equal([...Array(100).keys()]);
    rank.channel.cut();
  });

  for (const [what, bytes] of [
    ["a length above every message's", Buffer.from([1, 0, 0, 0x20])],
    ["the largest length of all", Buffer.from([255, 255, 255, 255])],
    ["bytes that are no message", Buffer.from([4, 0, 0, 0, 0x0a, 0xff, 0xff, 0xff])],
    ["an empty message", Buffer.alloc(4)],
    ["a second hello", Buffer.from([2, 0, 0, 0, 0x0a, 0])],
  ] as const) {
    it(`${what} on the lane ends the rank's stream as a protocol error`, async () => {
      await open();
      if (what === "a second hello") {
        listener.onMessage = () => {
          throw new Error("hello must come once");
        };
      }
      tap.holdLanes = true;
      const rank = await join();
      const held = await tap.lane();
      const socket = dial(held.sent(), bytes);
      await isClosed(socket);
      held.rank.destroy();
      const [error] = await rank.ends.count(1);
      expect(error?.code).to.equal("RANKCAST_PROTOCOL");
      expect(listener.ends.all).to.have.length(1);
    });
  }

  it("a lane that stops within a message holds nobody up, and ends with its rank", async () => {
    await open();
    const good = await join();
    await good.messages.count(1);
    tap.holdLanes = true;
    const rank = openRank(`unix:${directory()}/tap.sock`);
    (await listener.joined.count(2))[1]?.send(WELCOME);
    const held = (await tap.connections.count(4))[3];
    const socket = dial(held?.sent() ?? Buffer.alloc(0), Buffer.from([0, 0, 0, 0x10]), Buffer.alloc(1000));
    await expectHealthy(good);
    rank.channel.cut();
    await listener.ends.count(1);
    await isClosed(socket);
    good.channel.cut();
  });

  it("connections that say nothing, or half of a ticket, are cut after a while", async () => {
    await open({ silenceMs: 50 });
    await Promise.all([dial(), dial(MAGIC.subarray(0, 1)), dial(MAGIC, Buffer.alloc(35)), dial(MAGIC)].map(isClosed));
  });

  it("a flood of strangers pushes out strangers: a rank joins and goes on", async () => {
    await open({ strangers: 32 });
    const flood = Array.from({ length: 400 }, (_, each) => (each % 2 === 0 ? dial() : dial(MAGIC)));
    const rank = await join();
    await rank.messages.count(1);
    await Promise.all(flood.slice(0, 300).map(isClosed));
    await expectHealthy(rank);
    rank.channel.cut();
  });

  it("a stranger that begins as gRPC and goes on as something else hurts nobody", async () => {
    await open();
    const rank = await join();
    await rank.messages.count(1);
    await isClosed(dial(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.alloc(64, 0xff)));
    await expectHealthy(rank);
    rank.channel.cut();
  });
});
