/** Who is turned away at a job's port is told for each reason, once, from real connections; many at once cost one message a second. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { setImmediate } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import {
  dialNode,
  type LinkKey,
  type LinkLimits,
  type LinkListener,
  listenForLinks,
  REFUSAL_REASONS,
  type Refusal,
  type RefusalCount,
  Refusals,
} from "@rankcast/coordinator/internal";
import { expect } from "chai";

const KEY: LinkKey = { jobId: "job", token: "the job's secret", certificates: null, insecure: false };

/** An address of this machine that is not loopback; undefined in a sandbox without network. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((each) => each && !each.internal && each.family === "IPv4")?.address;

describe("strangers at the port for other nodes", () => {
  const open: (LinkListener | Socket)[] = [];
  afterEach(async () => {
    for (const each of open.splice(0)) "destroy" in each ? each.destroy() : await each.close();
  });

  async function listen(limits: Partial<LinkLimits> = {}, more: { readonly address?: string; readonly key?: LinkKey } = {}) {
    const refused: Refusal[] = [];
    let wake = (): void => undefined;
    const listener = await listenForLinks({
      address: more.address ?? "127.0.0.1:0",
      key: more.key ?? KEY,
      limits,
      onLink: (_, socket) => void socket.destroy(),
      onRefused: (refusal) => {
        refused.push(refusal);
        wake();
      },
    });
    open.push(listener);
    const atLeast = async (count: number): Promise<void> => {
      while (refused.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    return { listener, refused, atLeast };
  }

  function knock(port: number, bytes: string | null, host = "127.0.0.1"): Socket {
    const socket = connect(port, host);
    open.push(socket);
    socket.on("error", () => undefined);
    socket.resume();
    if (bytes !== null) socket.write(bytes);
    return socket;
  }

  /** However it ended. */
  const closed = (socket: Socket): Promise<void> => new Promise((resolve) => socket.once("close", () => resolve()));

  const reasonsOf = (refused: readonly Refusal[]): string[] => refused.map(({ reason }) => reason);

  /** What each reason takes; every one is a real connection. */
  const ways: { readonly [reason in Refusal["reason"]]: () => Promise<readonly Refusal[]> } = {
    async protocol() {
      const { listener, refused, atLeast } = await listen();
      await closed(knock(listener.port, "GET / HTTP/1.1\r\n\r\n"));
      // Half a handshake: it began as a node and left.
      knock(listener.port, "RKL1").end();
      await atLeast(2);
      expect(reasonsOf(refused)).to.deep.equal(["protocol", "protocol"]);
      return refused;
    },
    async token() {
      const { listener, refused } = await listen();
      await dialNode(listener.address, "grpc", { ...KEY, token: "a guess" }).catch(() => undefined);
      return refused;
    },
    async job() {
      const { listener, refused } = await listen();
      await dialNode(listener.address, "grpc", { ...KEY, jobId: "another" }).catch(() => undefined);
      return refused;
    },
    async unprotected() {
      const { listener, refused, atLeast } = await listen({}, { key: { ...KEY, insecure: true } });
      connectTls({ port: listener.port, host: "127.0.0.1" }).on("error", () => undefined);
      await atLeast(1);
      return refused;
    },
    async tls() {
      const { listener, refused, atLeast } = await listen({}, { address: "0.0.0.0:0" });
      await dialNode(`${outside}:${listener.port}`, "grpc", { ...KEY, token: "a guess" }).catch(() => undefined);
      await atLeast(1);
      return refused;
    },
    async silence() {
      const { listener, refused } = await listen({ handshakeMs: 50 });
      await closed(knock(listener.port, null));
      return refused;
    },
    async flood() {
      const { listener, refused } = await listen({ strangers: 1 });
      const first = knock(listener.port, "RKL1");
      await once(first, "connect");
      knock(listener.port, null);
      await closed(first);
      return refused;
    },
    async connections() {
      const { listener, refused, atLeast } = await listen({ connections: 1 });
      await once(knock(listener.port, null), "connect");
      knock(listener.port, null);
      await atLeast(1);
      return refused;
    },
  };

  for (const reason of REFUSAL_REASONS) {
    it(`are told: ${reason}`, async function () {
      if (reason === "tls" && outside === undefined) this.skip();
      const refused = await ways[reason]();
      expect(new Set(reasonsOf(refused))).to.deep.equal(new Set([reason]));
      for (const { address } of refused) expect(address).to.match(/^[\d.]+:\d+$/);
      expect(JSON.stringify(refused)).to.not.match(/secret|guess|another/);
    });
  }

  it("who leaves without a word is none, nor who is there when the listener closes", async () => {
    const { listener, refused } = await listen();
    const probe = knock(listener.port, null);
    await once(probe, "connect");
    probe.end();
    await closed(probe);
    const waiting = knock(listener.port, "RKL1");
    await once(waiting, "connect");
    await listener.close();
    await closed(waiting);
    expect(refused).to.deep.equal([]);
  });

  it("many at once are one message for the first, and one for all that follow until it may be said again", async () => {
    const told: (readonly RefusalCount[])[] = [];
    const refusals = new Refusals((each) => told.push(each), 1);
    for (let each = 0; each < 100_000; each += 1)
      refusals.take({ reason: each % 2 === 0 ? "silence" : "flood", address: `10.0.0.1:${each}` });
    const first = [{ reason: "silence", address: "10.0.0.1:0", count: 1 }];
    const rest = [
      { reason: "flood", address: "10.0.0.1:99999", count: 50_000 },
      { reason: "silence", address: "10.0.0.1:99998", count: 49_999 },
    ];
    expect(told).to.deep.equal([first]);
    while (told.length < 2) await setImmediate();
    expect(told).to.deep.equal([first, rest]);
    refusals.take({ reason: "token", address: "10.0.0.2:1" });
    refusals.close();
    expect(told.flat().filter(({ reason }) => reason === "token")).to.have.lengthOf(1);
  });
});
