/**
 * What a listener says to a peer that begins in the wrong way, so that it can tell its user more than that it was cut off; and what answers at an
 * address when it is no node at all. None of it is proved: it only chooses the words of an error.
 */
import { DistributionError, UsageError } from "@rankcast/core";

/** In place of the nonce, to a node that begins without encryption where it is demanded. As long as a nonce; a version that does not know it takes it for one. */
export const NEEDS_TLS = Buffer.from("RKL1: only over TLS".padEnd(32, "."));

/** A TLS alert (RFC 8446, 6): fatal, insufficient_security. To a node that begins with TLS where there is none. */
export const NO_TLS = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 71]);

/** How OpenSSL names that alert. */
export const NO_TLS_CODE = "ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY";

const SAME = "Start all nodes of the job alike: with the same token file, with certificates of one authority, or all with --insecure.";

/** RANKCAST_UNPROTECTED: this node began without encryption. */
export function needsTls(): UsageError {
  return new UsageError(
    "RANKCAST_UNPROTECTED",
    "the node at this address takes encrypted links only, and this node has begun one that is not",
    {
      remedy: SAME,
    },
  );
}

/** RANKCAST_UNPROTECTED: this node began with encryption. */
export function hasNoTls(): UsageError {
  return new UsageError("RANKCAST_UNPROTECTED", "the node at this address takes links without encryption, and this node encrypts its own", {
    remedy: SAME,
  });
}

/** RANKCAST_PROTOCOL: what answers is no node, as far as its first bytes tell. */
export function notANode(received: Buffer): DistributionError {
  return new DistributionError("RANKCAST_PROTOCOL", `${speakerOf(received)} at this address, and no node of a rankcast job`, {
    remedy: "Check host and port of the head node (--rdzv-endpoint, RANKCAST_RDZV_ENDPOINT): another program listens there.",
  });
}

/** Whether these bytes can be no node's, not even by chance; `whole` when nothing follows them. */
export function isStrange(received: Buffer, whole: boolean): boolean {
  return isHttp(received) || isHttp2(received) || (whole && received.length > 0);
}

function speakerOf(received: Buffer): string {
  if (isHttp(received)) return "an HTTP server answers";
  if (isHttp2(received)) return "an HTTP/2 (gRPC) server answers";
  // A record of TLS 1.0 to 1.3: alert or handshake.
  if ((received[0] === 0x15 || received[0] === 0x16) && received[1] === 0x03) return "a TLS server answers";
  return "another program answers";
}

function isHttp(received: Buffer): boolean {
  return received.subarray(0, 7).equals(Buffer.from("HTTP/1."));
}

/** A SETTINGS frame on stream 0 (RFC 9113, 6.5): a server's first. */
function isHttp2(received: Buffer): boolean {
  return received.length >= 9 && received.readUInt16BE(0) === 0 && received.subarray(3, 9).equals(Buffer.from([4, 0, 0, 0, 0, 0]));
}
