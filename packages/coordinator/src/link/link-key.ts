/** What lets two nodes of a job trust each other, and when bytes between them may travel in the clear. */
import { isIP } from "node:net";
import { UsageError } from "@rankcast/core";

/** Files of mutual TLS, already read. Any certificate that the authority signed is a node of the job. */
export interface LinkCertificates {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly authority: Buffer;
}

/** Equal on every node of a job. */
export interface LinkKey {
  readonly jobId: string;
  /** The job's secret; empty only with certificates or when insecure. */
  readonly token: string;
  readonly certificates: LinkCertificates | null;
  /** Somebody said that the network between the nodes is theirs alone: nothing is encrypted, a token is optional. */
  readonly insecure: boolean;
}

/** How bytes are protected on the way. */
export type LinkProtection = "plain" | "shared-key" | "certificates";

/** Where a listener is. */
export type LinkAddress =
  | { readonly type: "tcp"; readonly host: string; readonly port: number }
  | { readonly type: "unix"; readonly path: string };

/**
 * Reads `host:port`, `[v6]:port` or `unix:/path`.
 * @throws {UsageError} RANKCAST_USAGE for anything else.
 */
export function parseLinkAddress(text: string): LinkAddress {
  if (text.startsWith("unix:")) return { type: "unix", path: text.slice(5) };
  const match = /^(?:\[([^\]\s]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port <= 65_535)) {
    throw new UsageError("RANKCAST_USAGE", `expected HOST:PORT or unix:/path as the address of a node, found ${JSON.stringify(text)}`, {
      details: { address: text },
    });
  }
  return { type: "tcp", host, port };
}

/** `host:port` with brackets where the host needs them. */
export function formatLinkAddress(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether bytes to this host never leave the machine. Names count only when they are fixed to loopback by RFC 6761. */
export function isLoopback(host: string): boolean {
  const plain = host.replace(/^::ffff:/i, "");
  return plain === "localhost" || plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
}

/**
 * How a link to (or from) `host` is protected. Within the machine the token proves who is there and nobody listens; without one only certificates do.
 * @throws {UsageError} RANKCAST_UNPROTECTED when it would leave the machine without any protection and nobody has allowed that.
 */
export function protectionOf(host: string, key: LinkKey): LinkProtection {
  const { token, certificates, insecure } = key;
  if (insecure) return "plain";
  if (isLoopback(host)) return token === "" && certificates !== null ? "certificates" : "plain";
  if (certificates !== null) return "certificates";
  if (token !== "") return "shared-key";
  throw new UsageError("RANKCAST_UNPROTECTED", `the job's nodes would talk to ${host} with nothing that proves who they are`, {
    details: { host },
  });
}
