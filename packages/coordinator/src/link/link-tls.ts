/** TLS between nodes: with the job's token as pre-shared key, or with certificates on both sides. */
import { createHash } from "node:crypto";
import type { ConnectionOptions, TlsOptions } from "node:tls";
import type { LinkKey, LinkProtection } from "./link-key.ts";

/** Node's PSK needs TLS 1.2; this suite is the one with forward secrecy and an AEAD that OpenSSL offers with a pre-shared key. */
const SHARED_KEY_SUITE = "ECDHE-PSK-CHACHA20-POLY1305";
const IDENTITY = "rankcast";
/** Node's HTTP/2 server takes a TLS socket only when this was agreed. */
const PROTOCOLS = ["h2"];

/** Options of the listening side; null when it does not speak TLS. */
export function serverTls(protection: LinkProtection, key: LinkKey): TlsOptions | null {
  if (protection === "plain") return null;
  if (protection === "shared-key") {
    return {
      ALPNProtocols: PROTOCOLS,
      ciphers: SHARED_KEY_SUITE,
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.2",
      pskCallback: (_, identity) => (identity === IDENTITY ? sharedKey(key) : null),
    };
  }
  return { ...certificateOptions(key), requestCert: true, rejectUnauthorized: true };
}

/** Options of the dialling side; null when it does not speak TLS. */
export function clientTls(protection: LinkProtection, key: LinkKey): ConnectionOptions | null {
  if (protection === "plain") return null;
  if (protection === "shared-key") {
    return {
      ALPNProtocols: PROTOCOLS,
      ciphers: SHARED_KEY_SUITE,
      minVersion: "TLSv1.2",
      maxVersion: "TLSv1.2",
      pskCallback: () => ({ psk: sharedKey(key), identity: IDENTITY }),
      // No certificate is shown: whoever has the key is the one.
      checkServerIdentity: () => undefined,
    };
  }
  // Nodes are known by their authority, not by name: pods and compute nodes change theirs.
  return { ...certificateOptions(key), checkServerIdentity: () => undefined };
}

function certificateOptions({ certificates }: LinkKey): TlsOptions & ConnectionOptions {
  return {
    ALPNProtocols: PROTOCOLS,
    minVersion: "TLSv1.3",
    ...(certificates ? { cert: certificates.certificate, key: certificates.key, ca: certificates.authority } : {}),
  };
}

/** 32 bytes from a token of any length, different from what the handshake derives from it. */
function sharedKey({ token }: LinkKey): Buffer {
  return createHash("sha256").update("rankcast link key\0").update(token).digest();
}
