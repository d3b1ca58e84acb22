/** What ranks and coordinators say to each other, and how it ends: the same over a lane and over gRPC. */
import { connect } from "node:net";
import type { CoordinationServer, RankMessage } from "@rankcast/coordinator/internal";
import { DistributionError } from "@rankcast/core";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { HELLO, numbered, openRank, RecordedListener, startServer, WELCOME } from "./rank-job.ts";
import { SocketTap } from "./socket-tap.ts";

const WAYS = [
  { way: "a lane", takesLane: true, lanes: true },
  { way: "gRPC, to a rank that knows no lane", takesLane: false, lanes: true },
  { way: "gRPC, to a coordinator that gives none", takesLane: true, lanes: false },
] as const;

const phase = (number: number): RankMessage => ({ type: "progress", phase: `${number}` });
const ABORTED = {
  type: "aborted",
  cause: { code: "RANKCAST_RANK_LOST", message: "stood still", record: { name: "DistributionError" } },
} as const;
const range = (count: number): number[] => Array.from({ length: count }, (_, each) => each);

for (const { way, takesLane, lanes } of WAYS) {
  describe(`between ranks and their coordinator over ${way}`, function () {
    this.timeout(20_000);
    const directory = temporaryDirectory();
    let address: string;
    let listener: RecordedListener;
    let server: CoordinationServer;
    let tap: SocketTap;

    beforeEach(async () => {
      const path = `${directory()}/coordinator.sock`;
      address = `unix:${directory()}/tap.sock`;
      listener = new RecordedListener();
      server = await startServer(`unix:${path}`, listener, { lanes });
      tap = await SocketTap.open(`${directory()}/tap.sock`, path);
    });
    afterEach(async () => {
      tap.close();
      await server.close();
    });

    async function join(options: Parameters<typeof openRank>[1] = {}) {
      const rank = openRank(address, { takesLane, ...options });
      const [connection] = await listener.joined.count(1);
      if (!connection) throw new Error("nobody joined");
      return { rank, connection };
    }

    it("a hello and its welcome, without their secrets, and messages on the way that was agreed on", async () => {
      const { rank, connection } = await join();
      expect(connection.hello).to.deep.equal(HELLO);
      connection.send(WELCOME);
      const [welcome] = await rank.messages.count(1);
      expect(welcome).to.deep.equal({ ...WELCOME, incarnation: (welcome as { incarnation?: string }).incarnation });
      expect((welcome as { incarnation?: string }).incarnation).to.match(new RegExp(`^${process.pid}-`));
      rank.channel.send(phase(1));
      await listener.messages.count(1);
      expect(tap.connections.all.map(({ isLane }) => isLane)).to.deep.equal(takesLane && lanes ? [false, true] : [false]);
      rank.channel.cut();
    });

    it("keeps the order of both sides across the switch, with large messages between small ones", async () => {
      const large = { manifest: new Uint8Array(3 * 2 ** 20).fill(5), placement: { flat: [1] } };
      const { rank, connection } = await join({
        onMessage: (message, channel) => {
          if (message.type === "welcome") for (const each of range(50)) channel.send(phase(each));
          if (message.type === "welcome") channel.send({ type: "publication", sequence: 1, ...large });
        },
      });
      connection.send(WELCOME);
      // In the turn of the welcome, in turns while the rank dials, and after.
      for (const each of range(50)) connection.send(numbered(each));
      connection.send({ type: "published", sequence: 1, ...large });
      for (const each of range(50)) {
        connection.send(numbered(50 + each));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await listener.messages.count(51);
      for (const each of range(50)) connection.send(numbered(100 + each));
      for (const each of range(50)) rank.channel.send(phase(50 + each));
      const heard = await rank.messages.count(152);
      expect(heard.flatMap((message) => (message.type === "newest" ? [message.number] : []))).to.deep.equal(range(150));
      expect(heard.findIndex(({ type }) => type === "published")).to.equal(51);
      const said = await listener.messages.count(101);
      expect(said.flatMap((message) => (message.type === "progress" ? [Number(message.phase)] : []))).to.deep.equal(range(100));
      expect(said[50]).to.deep.equal({ type: "publication", sequence: 1, ...large });
      rank.channel.cut();
    });

    it("a goodbye is heard before the end, and close waits for the other side", async () => {
      const { rank, connection } = await join();
      connection.send(WELCOME);
      await rank.messages.count(1);
      rank.channel.send({ type: "leave" });
      await rank.channel.close();
      expect(listener.messages.all).to.deep.equal([{ type: "leave" }]);
      expect(listener.ends.all).to.deep.equal([connection]);
      expect(rank.ends.all).to.deep.equal([null]);
    });

    it("what the coordinator says before it ends a rank is heard before the end", async () => {
      const { rank, connection } = await join();
      connection.send(WELCOME);
      await rank.messages.count(1);
      for (const each of range(20)) connection.send(numbered(each));
      connection.end();
      expect(await rank.ends.count(1)).to.deep.equal([null]);
      expect(rank.messages.all).to.have.length(21);
      await listener.ends.count(1);
    });

    it("what it says before the rank has dialled too", async () => {
      const { rank, connection } = await join();
      connection.send(WELCOME);
      for (const each of range(20)) connection.send(numbered(each));
      connection.end();
      expect(await rank.ends.count(1)).to.deep.equal([null]);
      expect(rank.messages.all).to.have.length(21);
    });

    for (const loses of [false, true]) {
      it(`why a rank is given up is heard before the end${loses ? ", also when what the lane brought can not be read" : ""}`, async () => {
        const { rank, connection } = await join();
        connection.send(WELCOME);
        await rank.messages.count(1);
        rank.channel.send(phase(1));
        await listener.messages.count(1);
        tap.loseLanes = loses;
        connection.send(numbered(1));
        connection.send(ABORTED);
        connection.end();
        expect(await rank.ends.count(1)).to.deep.equal([null]);
        const isLost = loses && takesLane && lanes;
        expect(rank.messages.all.slice(1)).to.deep.equal([...(isLost ? [] : [numbered(1)]), ABORTED]);
      });
    }

    for (const [kind, code] of [
      ["duplicate", "RANKCAST_DUPLICATE_RANK"],
      ["protocol", "RANKCAST_PROTOCOL"],
    ] as const) {
      it(`a refusal is ${code}, before the welcome and after`, async () => {
        for (const welcomed of [false, true]) {
          const rank = openRank(address, { takesLane });
          const connection = (await listener.joined.count(welcomed ? 2 : 1)).at(-1);
          if (welcomed) connection?.send(WELCOME);
          if (welcomed) await rank.messages.count(1);
          connection?.refuse(kind, "not you");
          const [error] = await rank.ends.count(1);
          expect([error?.code, error?.message]).to.deep.equal([code, "not you"]);
        }
        expect(listener.ends.all).to.have.length(2);
      });
    }

    it("a wrong token is refused, and nobody hears of it", async () => {
      const rank = openRank(address, { takesLane, token: "another" });
      const [error] = await rank.ends.count(1);
      expect(error?.code).to.equal("RANKCAST_TOKEN_REFUSED");
      expect(listener.joined.all).to.deep.equal([]);
    });

    it("a message that cannot be acted on ends the rank's stream, and nothing after it counts", async () => {
      listener.onMessage = () => {
        throw new DistributionError("RANKCAST_PROTOCOL", "that may not come now", {});
      };
      const { rank, connection } = await join();
      connection.send(WELCOME);
      await rank.messages.count(1);
      for (const each of range(3)) rank.channel.send(phase(each));
      const [error] = await rank.ends.count(1);
      expect([error?.code, error?.message]).to.deep.equal(["RANKCAST_PROTOCOL", "that may not come now"]);
      expect(listener.ends.all).to.deep.equal([connection]);
    });

    it("a rank that cuts is over once, and its own end is COORDINATOR_LOST", async () => {
      const { rank, connection } = await join();
      connection.send(WELCOME);
      await rank.messages.count(1);
      rank.channel.cut();
      expect((await rank.ends.count(1))[0]?.code).to.equal("RANKCAST_COORDINATOR_LOST");
      expect(await listener.ends.count(1)).to.deep.equal([connection]);
    });

    it("either connection's end is the end of both", async () => {
      for (const at of range(takesLane && lanes ? 2 : 1)) {
        const rank = openRank(address, { takesLane });
        (await listener.joined.count(at + 1)).at(-1)?.send(WELCOME);
        await rank.messages.count(1);
        rank.channel.send(phase(1));
        await listener.messages.count(at + 1);
        const connections = tap.connections.all.slice(-(takesLane && lanes ? 2 : 1));
        connections[at]?.rank.destroy();
        connections[at]?.coordinator.destroy();
        const [error] = await rank.ends.count(1);
        // An end of the lane alone is an orderly one: the coordinator then ends the stream.
        expect(error?.code ?? "orderly").to.equal(at === 0 ? "RANKCAST_COORDINATOR_LOST" : "orderly");
        await listener.ends.count(at + 1);
      }
    });

    it("a coordinator that closes ends its ranks, also one that stands still", async () => {
      const { rank, connection } = await join();
      connection.send(WELCOME);
      await rank.messages.count(1);
      const silent = connect(`${directory()}/coordinator.sock`);
      silent.on("error", () => undefined);
      const closed = new Promise((resolve) => silent.once("close", resolve));
      connection.end();
      await server.close();
      await rank.ends.count(1);
      await closed;
    });
  });
}
