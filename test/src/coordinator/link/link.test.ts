/** The handshake between nodes: who gets in, who does not, and that nothing behind it sees a byte before. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import {
  dialNode,
  type LinkKey,
  type LinkKind,
  type LinkListener,
  type LinkListenerOptions,
  listenForLinks,
  type Refusal,
} from "@rankcast/coordinator/internal";
import { CheckpointError } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { hasOpenssl, makeCertificates } from "../../support/make-certificates.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const key = (more: Partial<LinkKey> = {}): LinkKey => ({ jobId: "job", token: "secret", certificates: null, insecure: false, ...more });

/** An address of this machine that is not loopback; undefined in a sandbox without network. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((each) => each && !each.internal && each.family === "IPv4")?.address;

describe("link between nodes", () => {
  const directory = temporaryDirectory();
  const open: (LinkListener | Socket)[] = [];
  afterEach(async () => {
    for (const each of open.splice(0)) "destroy" in each ? each.destroy() : await each.close();
  });

  async function listen(options: Partial<LinkListenerOptions> = {}) {
    const links: { kind: LinkKind; socket: Duplex }[] = [];
    const refused: Refusal[] = [];
    const listener = await listenForLinks({
      address: "127.0.0.1:0",
      key: key(),
      onLink: (kind, socket) => links.push({ kind, socket }),
      onRefused: (refusal) => refused.push(refusal),
      ...options,
    });
    open.push(listener);
    return { listener, links, refused };
  }

  async function dial(address: string, kind: LinkKind, with_: LinkKey): Promise<Socket> {
    const socket = await dialNode(address, kind, with_);
    open.push(socket);
    return socket;
  }

  const codeOf = async (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => "nothing was refused",
      (error) => (error instanceof CheckpointError ? error.code : String(error)),
    );

  /** Bytes of both directions arrive whole, also those sent right behind the handshake. */
  async function expectEcho(socket: Socket, links: { socket: Duplex }[]): Promise<void> {
    const there = links.at(-1)?.socket;
    there?.on("data", (bytes: Buffer) => there.write(bytes));
    const sent = randomBytes(100_000);
    socket.write(sent);
    const got: Buffer[] = [];
    socket.on("data", (bytes: Buffer) => got.push(bytes));
    while (Buffer.concat(got).length < sent.length) await once(socket, "data");
    expect(Buffer.concat(got).equals(sent)).to.equal(true);
  }

  it("lets a node with the token in, for the purpose it names", async () => {
    const { listener, links } = await listen();
    const socket = await dial(listener.address, "lane", key());
    expect(links.map(({ kind }) => kind)).to.deep.equal(["lane"]);
    await expectEcho(socket, links);
    await dial(listener.address, "grpc", key());
    expect(links.map(({ kind }) => kind)).to.deep.equal(["lane", "grpc"]);
  });

  it("works over a unix socket", async () => {
    const { listener, links } = await listen({ address: `unix:${join(directory(), "link.sock")}` });
    await expectEcho(await dial(listener.address, "lane", key()), links);
  });

  it("refuses a wrong, an empty and another job's token, and tells them apart from a wrong job", async () => {
    const { listener, links, refused } = await listen();
    expect(await codeOf(dialNode(listener.address, "grpc", key({ token: "other" })))).to.equal("RANKCAST_TOKEN_REFUSED");
    expect(await codeOf(dialNode(listener.address, "grpc", key({ token: "" })))).to.equal("RANKCAST_TOKEN_REFUSED");
    expect(await codeOf(dialNode(listener.address, "grpc", key({ jobId: "another", token: "other" })))).to.equal("RANKCAST_TOKEN_REFUSED");
    expect(await codeOf(dialNode(listener.address, "grpc", key({ jobId: "another" })))).to.equal("RANKCAST_WRONG_JOB");
    expect(links).to.deep.equal([]);
    expect(refused.map(({ reason }) => reason)).to.deep.equal(["token", "token", "token", "job"]);
    for (const { address } of refused) expect(address).to.match(/^127\.0\.0\.1:\d+$/);
  });

  it("does not trust a listener that cannot prove the token", async () => {
    // Answers every greeting with a nonce and a verdict of zeros: a listener that has only the protocol.
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", () => socket.write(Buffer.alloc(65)));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    expect(await codeOf(dialNode(`127.0.0.1:${port}`, "grpc", key()))).to.equal("RANKCAST_TOKEN_REFUSED");
    server.close();
  });

  it("takes no recorded handshake a second time, and no HTTP/2 without one", async () => {
    const { listener, links } = await listen();
    const recorded: Buffer[] = [];
    const proxy = createServer((socket) => {
      const behind = connect(listener.port, "127.0.0.1");
      socket.on("data", (bytes: Buffer) => {
        recorded.push(bytes);
        behind.write(bytes);
      });
      behind.pipe(socket);
      for (const each of [socket, behind]) each.on("error", () => undefined);
      open.push(behind);
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    await dial(`127.0.0.1:${(proxy.address() as { port: number }).port}`, "grpc", key());
    proxy.close();
    expect(links.length).to.equal(1);
    for (const bytes of [Buffer.concat(recorded), Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), randomBytes(500)]) {
      const socket = connect(listener.port, "127.0.0.1");
      open.push(socket);
      socket.on("error", () => undefined);
      socket.write(bytes);
      socket.resume();
      await once(socket, "close");
    }
    expect(links.length).to.equal(1);
  });

  it("says what answers instead of a node: HTTP, HTTP/2, TLS, anything else", async () => {
    const answers: [Buffer, string][] = [
      [Buffer.from("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "an HTTP server answers"],
      [Buffer.from("000006040000000000000500400000", "hex"), "an HTTP/2 (gRPC) server answers"],
      [Buffer.from("15030300020246", "hex"), "a TLS server answers"],
      [Buffer.from("SSH-2.0-x\r\n"), "another program answers"],
    ];
    for (const [bytes, words] of answers) {
      const server = createServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => socket.end(bytes));
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      const error = await expectError("RANKCAST_PROTOCOL", dialNode(`127.0.0.1:${port}`, "grpc", key()));
      expect(error.message).to.contain(`127.0.0.1:${port}: ${words}`);
      server.close();
    }
  });

  it("closes half-open connections at its bound, and a flood of them does not keep a node out", async () => {
    const { listener, links } = await listen({ limits: { handshakeMs: 3000, strangers: 20 } });
    const flood = Array.from({ length: 100 }, () => connect(listener.port, "127.0.0.1"));
    open.push(...flood);
    const closed = flood.map((socket) => {
      socket.on("error", () => undefined);
      socket.resume();
      socket.once("connect", () => socket.write("RKL1"));
      return once(socket, "close");
    });
    await dial(listener.address, "grpc", key());
    expect(links.length).to.equal(1);
    await Promise.all(closed);
  });

  it("refuses to leave the machine without protection, unless told", async () => {
    for (const host of ["0.0.0.0", "10.1.2.3", "node-3"]) {
      expect(await codeOf(listen({ address: `${host}:0`, key: key({ token: "" }) }))).to.equal("RANKCAST_UNPROTECTED");
      expect(await codeOf(dialNode(`${host}:1`, "grpc", key({ token: "" })))).to.equal("RANKCAST_UNPROTECTED");
    }
    const { listener, links } = await listen({ address: "0.0.0.0:0", key: key({ token: "", insecure: true }) });
    await dial(`127.0.0.1:${listener.port}`, "grpc", key({ token: "", insecure: true }));
    expect(links.length).to.equal(1);
  });

  it("says who cannot be reached", async () => {
    const { listener } = await listen();
    await listener.close();
    expect(await codeOf(dialNode(listener.address, "grpc", key()))).to.equal("RANKCAST_COORDINATOR_UNREACHABLE");
    const second = await listen();
    expect(await codeOf(listen({ address: second.listener.address }))).to.equal("RANKCAST_COORDINATOR_UNREACHABLE");
  });

  it("without a token nobody of this machine comes in without a certificate", async function () {
    if (!hasOpenssl()) this.skip();
    const certificates = makeCertificates(directory(), "ours");
    const ours = key({ token: "", certificates });
    const { listener, links } = await listen({ key: ours });
    // What everybody knows: the protocol, the job's name, and that there is no token.
    expect(await codeOf(dial(listener.address, "grpc", key({ token: "" })))).not.to.equal("nothing was refused");
    const strange = key({ token: "", certificates: makeCertificates(directory(), "strange") });
    expect(await codeOf(dialNode(listener.address, "grpc", strange))).to.equal("RANKCAST_TOKEN_REFUSED");
    expect(links).to.deep.equal([]);
    const socket = await dial(listener.address, "lane", ours);
    expect((socket as Socket & { encrypted?: boolean }).encrypted).to.equal(true);
    await expectEcho(socket, links);
  });

  describe("over a network", () => {
    before(function () {
      if (outside === undefined) {
        console.log("      skipped: this machine has no address but loopback");
        this.skip();
      }
    });

    it("encrypts with the token as key, and a wrong token does not get through TLS", async () => {
      const { listener, links } = await listen({ address: "0.0.0.0:0" });
      const address = `${outside}:${listener.port}`;
      const socket = await dial(address, "lane", key());
      expect((socket as Socket & { encrypted?: boolean }).encrypted).to.equal(true);
      await expectEcho(socket, links);
      expect(await codeOf(dialNode(address, "lane", key({ token: "other" })))).to.equal("RANKCAST_TOKEN_REFUSED");
      // A node that does not encrypt is told so, whatever its token.
      const bare = await expectError("RANKCAST_UNPROTECTED", dialNode(address, "lane", key({ insecure: true })));
      expect(bare.message).to.contain("takes encrypted links only");
      // A plain connection from outside is cut, with or without the right token.
      const plain = connect(listener.port, outside ?? "");
      open.push(plain);
      plain.on("error", () => undefined);
      plain.write("RKL1");
      plain.resume();
      await once(plain, "close");
      expect(links.length).to.equal(1);
    });

    it("tells a node that encrypts that the others do not, and one that finds no TLS at all", async () => {
      const { listener, links } = await listen({ address: "0.0.0.0:0", key: key({ insecure: true }) });
      const error = await expectError("RANKCAST_UNPROTECTED", dialNode(`${outside}:${listener.port}`, "lane", key()));
      expect(error.message).to.contain("takes links without encryption");
      const server = createServer((socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
      });
      server.listen(0, "0.0.0.0");
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      await expectError("RANKCAST_PROTOCOL", dialNode(`${outside}:${port}`, "lane", key()));
      server.close();
      expect(links).to.deep.equal([]);
    });

    it("takes certificates of one authority on both sides", async function () {
      if (!hasOpenssl()) this.skip();
      const ours = makeCertificates(directory(), "ours");
      const strange = makeCertificates(directory(), "strange");
      const { listener, links } = await listen({ address: "0.0.0.0:0", key: key({ token: "", certificates: ours }) });
      const address = `${outside}:${listener.port}`;
      await expectEcho(await dial(address, "lane", key({ token: "", certificates: ours })), links);
      expect(await codeOf(dialNode(address, "lane", key({ token: "", certificates: strange })))).to.equal("RANKCAST_TOKEN_REFUSED");
      expect(links.length).to.equal(1);
    });
  });
});
