/**
 * A lock that the kernel releases: listening on an abstract unix socket. Whoever waits is connected to the holder, sees its progress, and learns of
 * its end or death from the closed connection, at once.
 *
 * Abstract names have no owner and no permissions. The name is derived from a secret in the cache directory (0700), so another user can neither
 * guess it nor speak the holder's part; one who squats a name seen before only makes us wait `idleMs` and go on without the lock.
 */
import { createHmac, randomBytes } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ErrorRecord, toErrorRecord } from "../errors/error-record.ts";
import { adoptable, type CacheLock, type HolderProgress, type LockRequest, unlocked } from "./cache-lock.ts";
import { createWhole, makePrivateDirectory, writeError } from "./durable-file.ts";
import { unreadable } from "./file-source.ts";

/** A line from the holder. */
interface HolderLine extends HolderProgress {
  readonly token: string;
  readonly failure?: ErrorRecord;
}

type WaitOutcome = "released" | "refused" | "stuck" | { readonly failure: ErrorRecord };

const HEARTBEAT_MS = 1_000;
const LINE_CHARACTERS_MAX = 1 << 16;
/** Between listening and being able to answer, a socket refuses connections. */
const REFUSED_PAUSE_MS = 5;

/**
 * Listens on the name of the key, or waits for whoever does.
 * @throws {SourceError} RANKCAST_CACHE_WRITE; a failure taken over from the holder; the reason of an aborted signal.
 */
export async function acquireLockSocket(request: LockRequest): Promise<CacheLock> {
  const { name, token } = await lockName(request.root, request.key);
  const startedMs = performance.now();
  for (let waited = false; ; waited = true) {
    request.signal?.throwIfAborted();
    const server = await listen(name);
    if (server !== null) return new SocketLock(server, token, waited);
    const outcome = await waitForHolder(name, token, request);
    if (outcome === "stuck") return unlocked();
    if (outcome === "refused") {
      if (performance.now() - startedMs > request.idleMs) return unlocked();
      await sleep(REFUSED_PAUSE_MS);
    }
    const adopted = typeof outcome === "object" ? adoptable(outcome.failure) : null;
    if (adopted !== null) throw adopted;
  }
}

class SocketLock implements CacheLock {
  readonly waited: boolean;
  readonly #server: Server;
  readonly #token: string;
  readonly #waiters = new Set<Socket>();
  readonly #heartbeat: NodeJS.Timeout;
  #progress: HolderProgress = { bytesDone: null, bytesTotal: null };

  constructor(server: Server, token: string, waited: boolean) {
    this.waited = waited;
    this.#server = server;
    this.#token = token;
    server.on("connection", (socket) => this.#welcome(socket));
    this.#heartbeat = setInterval(() => this.#say(), HEARTBEAT_MS).unref();
  }

  tell(progress: HolderProgress): void {
    this.#progress = progress;
    this.#say();
  }

  async release(failure?: unknown): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#say(failure === undefined ? {} : { failure: toErrorRecord(failure) });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#waiters) socket.destroySoon();
    await closed;
  }

  #welcome(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#waiters.delete(socket));
    // Nothing is expected from a waiter; reading lets its end be noticed.
    socket.resume();
    this.#waiters.add(socket);
    socket.write(this.#line({}));
  }

  #say(extra: { readonly failure?: ErrorRecord } = {}): void {
    const line = this.#line(extra);
    for (const socket of this.#waiters) if (socket.writableLength < LINE_CHARACTERS_MAX) socket.write(line);
  }

  #line(extra: { readonly failure?: ErrorRecord }): string {
    const line: HolderLine = { token: this.#token, ...this.#progress, ...extra };
    return `${JSON.stringify(line)}\n`;
  }
}

function listen(name: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(null) : reject(writeError("lock socket", error)),
    );
    // exclusive: a cluster worker would otherwise share its primary's socket, and with it the lock.
    server.listen({ path: name, exclusive: true }, () => resolve(server));
  });
}

function waitForHolder(name: string, token: string, request: LockRequest): Promise<WaitOutcome> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: name });
    let outcome: WaitOutcome = "released";
    let text = "";
    const stuck = setTimeout(() => {
      outcome = "stuck";
      socket.destroy();
    }, request.idleMs);
    const cancel = (): void => {
      socket.destroy();
    };
    request.signal?.addEventListener("abort", cancel, { once: true });
    socket.setEncoding("utf8");
    socket.on("error", () => {
      outcome = outcome === "released" ? "refused" : outcome;
    });
    socket.on("data", (piece: string) => {
      text += piece;
      const lines = text.split("\n");
      text = (lines.pop() ?? "").slice(0, LINE_CHARACTERS_MAX);
      for (const line of lines) {
        const said = parseLine(line, token);
        if (said === null) continue;
        stuck.refresh();
        if (said.failure) outcome = { failure: said.failure };
        else request.onWait?.({ bytesDone: said.bytesDone, bytesTotal: said.bytesTotal });
      }
    });
    socket.on("close", () => {
      clearTimeout(stuck);
      request.signal?.removeEventListener("abort", cancel);
      if (request.signal?.aborted) reject(request.signal.reason);
      else resolve(outcome);
    });
  });
}

function parseLine(line: string, token: string): HolderLine | null {
  try {
    const said = JSON.parse(line) as HolderLine;
    return said.token === token ? said : null;
  } catch {
    return null;
  }
}

async function lockName(directory: string, key: string): Promise<{ name: string; token: string }> {
  const secret = await cacheSecret(directory);
  const root = await realpath(directory).catch((error: unknown) => unreadable(directory, error));
  const digest = (purpose: string): string =>
    createHmac("sha256", secret)
      .update(`${purpose}\n${process.getuid?.() ?? ""}\n${root}\n${key}`)
      .digest("hex");
  return { name: `\0rankcast-${digest("name").slice(0, 48)}`, token: digest("token") };
}

/** 32 random bytes per cache, created by whoever comes first. */
async function cacheSecret(directory: string): Promise<string> {
  const path = join(directory, "lock-secret");
  const present = await readFile(path, "utf8").catch(() => "");
  if (present !== "") return present;
  await makePrivateDirectory(directory);
  await createWhole(path, randomBytes(32).toString("hex"));
  return readFile(path, "utf8").catch((error: unknown) => unreadable(path, error));
}
