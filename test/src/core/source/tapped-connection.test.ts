/** Bodies that go past Node's HTTP parser: the parser and the consumer each get exactly their bytes, however the network cuts them. */
import { EventEmitter } from "node:events";
import { readFile } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import type { OnReadOpts, Socket } from "node:net";
import { join } from "node:path";
import { compileLimits } from "@rankcast/core";
import { divertBody, fetchToCache, readEnvironment, TappedConnection } from "@rankcast/core/internal";
import { expect } from "chai";
import { LyingServer, sendRaw, serveFile } from "../../support/lying-server.ts";
import { randomBytes } from "../../support/random-bytes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** A socket whose reads the test decides. */
class FakeSocket extends EventEmitter {
  destroyed = false;
  readonly writable = true;
  readonly #onread: OnReadOpts;

  constructor(onread: OnReadOpts) {
    super();
    this.#onread = onread;
  }

  /** The connection reads these bytes, in as many reads as its buffers need. */
  receive(bytes: Uint8Array): void {
    const { buffer, callback } = this.#onread;
    for (let position = 0; position < bytes.length; ) {
      const space = typeof buffer === "function" ? buffer() : buffer;
      const part = bytes.subarray(position, position + space.length);
      space.set(part);
      position += part.length;
      callback(part.length, space);
    }
  }

  write(_chunk: Uint8Array, _encoding: string, done: () => void): boolean {
    done();
    return true;
  }
  end(done: () => void): void {
    done();
  }
  destroy(): void {
    this.destroyed = true;
  }
  resume(): void {}
  ref(): void {}
  unref(): void {}
}

/** Sends a request over a fake socket and gives that socket and the answer, whose body is diverted when `lengthBytes` is given. */
function open(connection: TappedConnection, lengthBytes: number | null) {
  const collected: Buffer[] = [];
  const outcome = new Promise<{ answer: IncomingMessage; diverted: boolean; body: Promise<Buffer> }>((resolve, reject) => {
    const request = get("http://host/file", { createConnection: () => connection.begin() }, (answer) => {
      answer.on("error", () => undefined);
      const body = lengthBytes === null ? null : divertBody(request.socket, lengthBytes, true);
      if (body === null) answer.on("data", (piece: Buffer) => collected.push(piece));
      const memory = Buffer.alloc(lengthBytes ?? 0);
      let done = 0;
      const sink = {
        space: () => memory.subarray(done),
        filled: (count: number) => {
          done += count;
          return null;
        },
      };
      const whole = body
        ? body.into(sink, { received: () => undefined, awaiting: () => undefined }).then(() => memory)
        : new Promise<Buffer>((ended) => answer.on("end", () => ended(Buffer.concat(collected))));
      resolve({ answer, diverted: body !== null, body: whole });
    });
    request.on("error", reject);
  });
  return outcome;
}

describe("tapped connections", () => {
  const body = randomBytes(3_000);
  const head = `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nETag: "e"\r\n\r\n`;
  const message = Buffer.concat([Buffer.from(head), body]);
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it("give the parser the heads and the consumer the body, wherever the bytes are cut", async () => {
    for (let cut = 1; cut <= head.length + 2; cut += 1) {
      let socket: FakeSocket | undefined;
      const idle: TappedConnection[] = [];
      const connection = new TappedConnection(
        (onread) => {
          socket = new FakeSocket(onread);
          return socket as unknown as Socket;
        },
        (each) => idle.push(each),
      );
      // Twice: behind the first body the connection stands exactly at the second head.
      for (let request = 0; request < 2; request += 1) {
        const outcome = open(connection, body.length);
        await turn();
        socket?.receive(message.subarray(0, cut));
        await turn();
        socket?.receive(message.subarray(cut));
        const { answer, diverted, body: found } = await outcome;
        expect({ cut, diverted, etag: answer.headers.etag }).to.deep.equal({ cut, diverted: true, etag: '"e"' });
        expect((await found).equals(body), `body cut at ${cut}`).to.equal(true);
        expect(idle.length).to.equal(request + 1);
        await turn();
      }
      expect(socket?.destroyed).to.equal(false);
      // Nobody asked for this.
      socket?.receive(Buffer.from("X"));
      expect(socket?.destroyed).to.equal(true);
    }
  });

  it("leave to the parser what is not taken from it", async () => {
    let socket: FakeSocket | undefined;
    const connection = new TappedConnection(
      (onread) => {
        socket = new FakeSocket(onread);
        return socket as unknown as Socket;
      },
      () => undefined,
    );
    const outcome = open(connection, null);
    await turn();
    socket?.receive(message);
    const { diverted, body: found } = await outcome;
    expect(diverted).to.equal(false);
    expect((await found).equals(body)).to.equal(true);
  });

  it("refuse a body that goes on in the read that ends it", async () => {
    let socket: FakeSocket | undefined;
    const connection = new TappedConnection(
      (onread) => {
        socket = new FakeSocket(onread);
        return socket as unknown as Socket;
      },
      () => undefined,
    );
    const outcome = open(connection, body.length);
    await turn();
    socket?.receive(Buffer.concat([message, Buffer.from("X")]));
    const { body: found } = await outcome;
    const error = await found.catch((thrown: unknown) => thrown);
    expect(error).to.have.property("message", "more bytes than declared");
    expect(socket?.destroyed).to.equal(true);
  });

  describe("over a network", () => {
    const directory = temporaryDirectory();
    const bytes = randomBytes(1_000_000);
    let server: LyingServer;
    const fetch = () =>
      fetchToCache(`${server.url}/m.pt`, {
        cacheDir: join(directory(), new URL(server.url).port),
        limits: compileLimits({ httpRangeBytes: 65_536, httpConnections: 2, httpRetryMs: 1 }),
        environment: readEnvironment({ HOME: directory() }),
      });
    afterEach(() => server.close());

    it("serve one part after the other", async () => {
      server = await LyingServer.start(serveFile(bytes));
      const fetched = await fetch();
      expect(await readFile(fetched.path)).to.deep.equal(bytes);
      expect(fetched.origin).to.include({ requests: 16, retries: 0 });
      // As many as at once, and one that may have been waited for when another became free.
      expect(server.accepted).to.be.at.most(3);
    });

    it("are not used again when the server says so, or sends more than it said", async () => {
      server = await LyingServer.start(serveFile(bytes, { headers: { connection: "close" } }));
      expect(await readFile((await fetch()).path)).to.deep.equal(bytes);
      expect(server.accepted).to.equal(16);
      await server.close();
      // One that says so and leaves its end open.
      server = await LyingServer.start((request, response) => {
        const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
        const [begin, end] = [Number(range?.[1]), Math.min(Number(range?.[2]) + 1, bytes.length)];
        const headers = `Content-Length: ${end - begin}\r\nContent-Range: bytes ${begin}-${end - 1}/${bytes.length}\r\nETag: "e"\r\nConnection: close`;
        sendRaw(response, Buffer.concat([Buffer.from(`HTTP/1.1 206 OK\r\n${headers}\r\n\r\n`), bytes.subarray(begin, end)]));
      });
      expect(await readFile((await fetch()).path)).to.deep.equal(bytes);
      expect(server.accepted).to.equal(16);
      await server.close();
      server = await LyingServer.start((request, response, index) => {
        const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
        const [begin, end] = [Number(range?.[1]), Math.min(Number(range?.[2]) + 1, bytes.length)];
        const headers = `Content-Length: ${end - begin}\r\nContent-Range: bytes ${begin}-${end - 1}/${bytes.length}\r\nETag: "e"`;
        const extra = index % 2 === 0 ? "HTTP/1.1 206 Partial Content\r\n" : "";
        sendRaw(
          response,
          Buffer.concat([Buffer.from(`HTTP/1.1 206 OK\r\n${headers}\r\n\r\n`), bytes.subarray(begin, end), Buffer.from(extra)]),
        );
      });
      await fetch().then(
        async (fetched) => expect(await readFile(fetched.path)).to.deep.equal(bytes),
        (error: { class: string }) => expect(error.class).to.be.oneOf(["http", "network"]),
      );
    });
  });
});
