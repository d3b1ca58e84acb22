/** What a peer with the token can do to the head's server by mistake or on purpose, while a good node's stream must go on. */
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import {
  type ClusterServer,
  dialNode,
  type LinkKey,
  type LinkListener,
  listenForLinks,
  openClusterChannel,
  startClusterServer,
} from "@rankcast/coordinator/internal";
import { CLUSTER_SERVICE } from "@rankcast/proto";
import { expect } from "chai";

const KEY: LinkKey = { jobId: "job", token: "secret", certificates: null, insecure: false };
const PATH = CLUSTER_SERVICE.join.path;
const HEADERS = { ":method": "POST", ":path": PATH, "content-type": "application/grpc", te: "trailers" };
/** Generous: the machine does other things too. */
const ANSWER_MS = 5000;

describe("floods from a peer with the token", function () {
  this.timeout(60_000);
  let server: ClusterServer;
  let listener: LinkListener;
  const sessions: ClientHttp2Session[] = [];

  beforeEach(async () => {
    server = startClusterServer({
      // Answers every sign of life, as a good head does.
      onMessage: (stream, message) => message.type === "heartbeat" && stream.send({ type: "heartbeat" }),
      onEnd: () => undefined,
    });
    listener = await listenForLinks({ address: "127.0.0.1:0", key: KEY, onLink: (_, socket) => server.inject(socket) });
  });

  afterEach(async () => {
    for (const session of sessions.splice(0)) session.destroy();
    await server.close();
    await listener.close();
  });

  /** A bare HTTP/2 connection behind the handshake. */
  async function openSession(): Promise<ClientHttp2Session> {
    const socket: Socket = await dialNode(listener.address, "grpc", KEY);
    const session = connectHttp2("http://node", { createConnection: () => socket });
    session.on("error", () => undefined);
    sessions.push(session);
    return session;
  }

  /** Resolves with the longest time that a good node waited for an answer while `flood` ran. */
  async function worstAnswerMs(flood: () => Promise<unknown>): Promise<number> {
    let answered: (() => void) | null = null;
    let lost: Error | null = null;
    const channel = openClusterChannel(listener.address, KEY, {
      onConnected: () => undefined,
      onMessage: () => answered?.(),
      onEnd: (error) => {
        lost = error;
        answered?.();
      },
    });
    let over = false;
    const flooding = flood().finally(() => {
      over = true;
    });
    let worst = 0;
    do {
      const startMs = performance.now();
      await new Promise<void>((resolve) => {
        answered = resolve;
        channel.send({ type: "heartbeat" });
      });
      worst = Math.max(worst, performance.now() - startMs);
      await new Promise((resolve) => setImmediate(resolve));
    } while (!over);
    await flooding;
    if (lost !== null) throw lost;
    answered = null;
    void channel.close();
    return worst;
  }

  /** Opens a stream and resolves when it is over, however that came. */
  function request(session: ClientHttp2Session, headers: object, body?: Buffer): Promise<string> {
    return new Promise((resolve) => {
      if (session.destroyed || session.closed) {
        resolve("session closed");
        return;
      }
      const stream = session.request({ ...HEADERS, ...headers });
      let grpcStatus = "";
      stream.on("response", (answer) => {
        grpcStatus = String(answer["grpc-status"] ?? "");
      });
      stream.on("trailers", (trailers) => {
        grpcStatus = String(trailers["grpc-status"] ?? "");
      });
      stream.on("error", () => undefined);
      stream.on("close", () => resolve(grpcStatus || `reset ${stream.rstCode}`));
      stream.resume();
      if (body) stream.end(body);
    });
  }

  it("5000 streams that are opened and reset", async () => {
    const worst = await worstAnswerMs(async () => {
      const session = await openSession();
      for (let count = 0; count < 5000 && !session.destroyed; count += 1) {
        const stream = session.request(HEADERS);
        stream.on("error", () => undefined);
        stream.close(8);
        if (count % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    expect(worst).to.be.below(ANSWER_MS);
  });

  for (const [what, headers] of [
    ["paths that do not exist", { ":path": "/nobody/Nothing" }],
    ["content that is not gRPC's", { "content-type": "text/plain" }],
    ["compressed messages", { "grpc-encoding": "gzip" }],
  ] as const) {
    it(`stream after stream of ${what} is cut off`, async () => {
      let answered = 0;
      const worst = await worstAnswerMs(async () => {
        const session = await openSession();
        while (answered < 1000 && !session.destroyed && !session.closed) {
          await request(session, headers, Buffer.alloc(0));
          answered += 1;
        }
      });
      expect(answered).to.be.within(64, 66);
      expect(worst).to.be.below(ANSWER_MS);
    });
  }

  for (const [what, ask] of [
    ["pings", (session, answered) => session.ping(answered)],
    ["settings", (session, answered) => session.settings({ enablePush: false }, answered)],
  ] as readonly (readonly [string, (session: ClientHttp2Session, answered: () => void) => unknown])[]) {
    it(`${what} without end, every answer read, are cut off`, async () => {
      let answers = 0;
      const worst = await worstAnswerMs(async () => {
        const session = await openSession();
        const cut = new Promise<void>((resolve) => session.once("close", resolve));
        while (answers < 1000 && !session.destroyed && !session.closed) {
          const answer = new Promise<void>((resolve) =>
            ask(session, () => {
              answers += 1;
              resolve();
            }),
          );
          await Promise.race([answer, cut]);
        }
      });
      expect(answers).to.be.within(60, 66);
      expect(worst).to.be.below(ANSWER_MS);
    });
  }

  it("64 KiB of headers, compressed messages and garbage are refused, each with its stream", async () => {
    const outcomes: string[] = [];
    const worst = await worstAnswerMs(async () => {
      outcomes.push(await request(await openSession(), { big: "x".repeat(65_536) }, Buffer.alloc(0)));
      // A bomb: 16 MiB of zeros in 16 KiB.
      const bomb = gzipSync(Buffer.alloc(16 * 2 ** 20));
      const frame = Buffer.concat([Buffer.from([1]), lengthOf(bomb), bomb]);
      outcomes.push(await request(await openSession(), { "grpc-encoding": "gzip" }, frame));
      outcomes.push(
        await request(await openSession(), {}, Buffer.concat([Buffer.from([0]), lengthOf(Buffer.alloc(9)), Buffer.alloc(9, 255)])),
      );
      // A length that is not followed by as many bytes, larger than any message.
      outcomes.push(await request(await openSession(), {}, Buffer.from([0, 255, 255, 255, 255, 1, 2, 3])));
    });
    expect(outcomes).to.have.length(4);
    for (const outcome of outcomes) expect(outcome).not.to.equal("0");
    expect(outcomes[1]).to.equal("12");
    expect(worst).to.be.below(ANSWER_MS);
  });

  it("messages that dribble in hold no one up, and the memory they take is what has come", async () => {
    const before = process.memoryUsage().rss;
    const worst = await worstAnswerMs(async () => {
      const session = await openSession();
      for (let count = 0; count < 4; count += 1) {
        const stream = session.request(HEADERS);
        stream.on("error", () => undefined);
        // Says that 4 MiB come, brings 1000 bytes.
        stream.write(Buffer.concat([Buffer.from([0, 0, 64, 0, 0]), Buffer.alloc(1000)]));
      }
      await new Promise((resolve) => setTimeout(resolve, 300));
    });
    expect(worst).to.be.below(ANSWER_MS);
    expect(process.memoryUsage().rss - before).to.be.below(128 * 2 ** 20);
  });
});

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return length;
}
