/** The one door to another node: connects, protects, proves. */
import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { CheckpointError, DistributionError } from "@rankcast/core";
import { greet, type LinkKind } from "./handshake.ts";
import { isLoopback, type LinkKey, type LinkProtection, parseLinkAddress, protectionOf } from "./link-key.ts";
import { clientTls } from "./link-tls.ts";
import { hasNoTls, NO_TLS_CODE, notANode } from "./wrong-protection.ts";

/** Connecting, TLS and handshake together: the listener's own bound is a second and a half, the rest is for slow networks. */
const DIAL_MS = 10_000;

/** What OpenSSL says of an answer that is no TLS. */
const NOT_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG)$/;

/**
 * An authenticated connection to the node at `address` (`host:port` or `unix:/path`).
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when nobody answers, RANKCAST_TOKEN_REFUSED, RANKCAST_WRONG_JOB, RANKCAST_PROTOCOL.
 * @throws {UsageError} RANKCAST_UNPROTECTED when it would leave the machine without protection.
 */
export async function dialNode(address: string, kind: LinkKind, key: LinkKey): Promise<Socket> {
  const where = parseLinkAddress(address);
  if (where.type === "tcp") protectionOf(where.host, key);
  const socket = connect(where.type === "unix" ? { path: where.path } : { host: where.host, port: where.port, noDelay: true });
  return secureLink(socket, address, kind, key);
}

/**
 * The same over a socket that is connected or about to be. Destroys it on failure.
 * @throws {DistributionError} as `dialNode`.
 */
export async function secureLink(socket: Socket, address: string, kind: LinkKind, key: LinkKey): Promise<Socket> {
  let used: Socket = socket;
  const timer = setTimeout(() => used.destroy(new Error(`no handshake within ${DIAL_MS} ms`)), DIAL_MS);
  try {
    await connected(socket);
    const tls = clientTls(protectionTo(address, socket, key), key);
    if (tls !== null) {
      const secured = connectTls({ ...tls, socket });
      used = secured;
      await secureConnected(secured);
    }
    await greet(used, key, kind);
    return used;
  } catch (error) {
    used.destroy();
    socket.destroy();
    throw described(error, address, used !== socket);
  } finally {
    clearTimeout(timer);
  }
}

/** A name can lead to this machine; the listener sees the address only. */
function protectionTo(address: string, { remoteAddress = "" }: Socket, key: LinkKey): LinkProtection {
  const where = parseLinkAddress(address);
  if (where.type === "unix") return "plain";
  return protectionOf(isLoopback(remoteAddress) ? remoteAddress : where.host, key);
}

function connected(socket: Socket): Promise<void> {
  return settled(socket, "connect", !socket.connecting && !socket.destroyed);
}

function secureConnected(socket: TLSSocket): Promise<void> {
  return settled(socket, "secureConnect", false);
}

function settled(socket: Socket, event: string, already: boolean): Promise<void> {
  if (already) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error("the connection was closed"));
    socket.once(event, () => {
      socket.off("error", reject);
      socket.off("close", onClose);
      resolve();
    });
    socket.once("error", reject);
    socket.once("close", onClose);
  });
}

function described(error: unknown, address: string, withTls: boolean): CheckpointError {
  const details = { address };
  // With TLS 1.3 a listener that does not accept our certificate can say so only after the dialler's side is through.
  const cutInTls = withTls && (!(error instanceof CheckpointError) || error.code === "RANKCAST_PROTOCOL");
  if (error instanceof CheckpointError && !cutInTls) {
    const Class = error.constructor as typeof CheckpointError;
    return new Class(error.code, `${address}: ${error.message}`, {
      details: { ...error.details, ...details },
      remedy: error.remedy,
      cause: error,
    });
  }
  const { code = "", message } = error as Error & { code?: string };
  if (code === NO_TLS_CODE) return described(hasNoTls(), address, withTls);
  if (NOT_TLS.test(code)) return described(notANode(Buffer.from("?")), address, false);
  // What OpenSSL says when the other side has another pre-shared key or trusts another authority.
  if (cutInTls || /^ERR_SSL_|ALERT|CERT|UNABLE_TO_/.test(code)) {
    return new DistributionError("RANKCAST_TOKEN_REFUSED", `${address}: the nodes do not trust each other: ${message}`, {
      details,
      cause: error,
    });
  }
  return new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `the node at ${address} cannot be reached: ${message}`, {
    details: { ...details, reason: code },
    cause: error,
    remedy: "Check that the node runs, that the address is right, and that no firewall is between the nodes.",
  });
}
