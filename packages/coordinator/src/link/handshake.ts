/**
 * What two nodes say before anything else: both prove that they know the job's token, and that they mean the same job. No other protocol
 * (HTTP/2, chunks) sees a byte of a connection that has not been through this.
 *
 * ```
 * dialler                                          listener
 *   magic, kind, job, nonce            ──────────►
 *                                      ◄──────────  nonce
 *   HMAC(token, "dial" …)              ──────────►
 *                                      ◄──────────  verdict, HMAC(token, "listen" …)
 * ```
 * Every HMAC covers kind, job and both nonces, so that nothing recorded can be used again, on another connection or for another purpose.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Duplex } from "node:stream";
import { DistributionError } from "@rankcast/core";
import type { LinkKey } from "./link-key.ts";
import { HungUp, readExactly } from "./read-exactly.ts";
import { isStrange, NEEDS_TLS, needsTls, notANode } from "./wrong-protection.ts";

/** What a connection is for. */
export type LinkKind = "grpc" | "lane";

/** First bytes of the handshake; the number is its version. No TLS record begins like this. */
export const MAGIC = Buffer.from("RKL1");
const KINDS: readonly LinkKind[] = ["grpc", "lane"];
const NONCE_BYTES = 32;
const PROOF_BYTES = 32;
const GREETING_BYTES = MAGIC.length + 1 + 32 + NONCE_BYTES;
const ACCEPTED = 0;
const WRONG_TOKEN = 1;
const WRONG_JOB = 2;

interface Terms {
  readonly kind: number;
  readonly job: Buffer;
  readonly dialNonce: Buffer;
  readonly listenNonce: Buffer;
}

/**
 * The dialling side. When it resolves, the peer knows the token, and `socket` is at the first byte of what follows.
 * @throws {DistributionError} RANKCAST_TOKEN_REFUSED or RANKCAST_WRONG_JOB as the listener says, RANKCAST_PROTOCOL when it is none of ours.
 * @throws {UsageError} RANKCAST_UNPROTECTED when the listener takes encrypted links only.
 */
export async function greet(socket: Duplex, key: LinkKey, kind: LinkKind): Promise<void> {
  const job = jobDigest(key);
  const dialNonce = randomBytes(NONCE_BYTES);
  const number = KINDS.indexOf(kind);
  socket.write(Buffer.concat([MAGIC, Buffer.from([number]), job, dialNonce]));
  const listenNonce = await readNonce(socket);
  const terms: Terms = { kind: number, job, dialNonce, listenNonce };
  await written(socket, proofOf(key, "dial", terms));
  const [verdict] = await readExactly(socket, 1);
  if (verdict === WRONG_TOKEN) throw refusedToken("the other node does not know this node's token");
  const proof = await readExactly(socket, PROOF_BYTES);
  if (!timingSafeEqual(proof, proofOf(key, "listen", terms))) throw refusedToken("the other node did not prove that it knows the token");
  if (verdict === WRONG_JOB) throw new DistributionError("RANKCAST_WRONG_JOB", "the node at this address belongs to another job");
  if (verdict !== ACCEPTED) throw strange();
}

/**
 * The listening side. Resolves with what the connection is for; what follows in `socket` belongs to that.
 * @throws {DistributionError} RANKCAST_PROTOCOL, RANKCAST_TOKEN_REFUSED or RANKCAST_WRONG_JOB; the peer has been told, the socket must go.
 */
export async function answer(socket: Duplex, key: LinkKey): Promise<LinkKind> {
  const greeting = await readExactly(socket, GREETING_BYTES);
  const kindNumber = greeting[MAGIC.length] ?? 255;
  const kind = KINDS[kindNumber];
  if (!greeting.subarray(0, MAGIC.length).equals(MAGIC) || kind === undefined) throw strange();
  const job = greeting.subarray(MAGIC.length + 1, MAGIC.length + 33);
  const dialNonce = greeting.subarray(MAGIC.length + 33);
  const listenNonce = randomBytes(NONCE_BYTES);
  const terms: Terms = { kind: kindNumber, job, dialNonce, listenNonce };
  socket.write(listenNonce);
  const proof = await readExactly(socket, PROOF_BYTES);
  // Nothing is proved to a peer that has proved nothing.
  if (!timingSafeEqual(proof, proofOf(key, "dial", terms))) {
    socket.write(Buffer.from([WRONG_TOKEN]));
    throw refusedToken("a node with another token was refused");
  }
  const sameJob = job.equals(jobDigest(key));
  await written(socket, Buffer.concat([Buffer.from([sameJob ? ACCEPTED : WRONG_JOB]), proofOf(key, "listen", terms)]));
  if (!sameJob) throw new DistributionError("RANKCAST_WRONG_JOB", "a node of another job was refused");
  return kind;
}

/**
 * Writes, and waits until it is done. Who takes the socket next takes its handle too: HTTP/2 over TLS in Node 20 ends the process when it is
 * told of the end of a write that was not its own.
 */
function written(socket: Duplex, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/** The listener's first bytes; others tell what is there instead. */
async function readNonce(socket: Duplex): Promise<Buffer> {
  try {
    const nonce = await readExactly(socket, NONCE_BYTES);
    if (nonce.equals(NEEDS_TLS)) throw needsTls();
    if (isStrange(nonce, false)) throw notANode(nonce);
    return nonce;
  } catch (error) {
    throw error instanceof HungUp && isStrange(error.received, true) ? notANode(error.received) : error;
  }
}

function jobDigest({ jobId }: LinkKey): Buffer {
  return createHash("sha256").update(jobId).digest();
}

function proofOf({ token }: LinkKey, side: "dial" | "listen", { kind, job, dialNonce, listenNonce }: Terms): Buffer {
  return createHmac("sha256", token)
    .update(`rankcast ${side}\0`)
    .update(Buffer.from([kind]))
    .update(job)
    .update(dialNonce)
    .update(listenNonce)
    .digest();
}

function refusedToken(text: string): DistributionError {
  return new DistributionError("RANKCAST_TOKEN_REFUSED", text);
}

function strange(): DistributionError {
  return new DistributionError("RANKCAST_PROTOCOL", "what answers at this address is no node of a rankcast job, or one of another version");
}
