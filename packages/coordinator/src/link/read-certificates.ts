/** Certificates of a node, checked where they come in: OpenSSL's words for a bad one would come out of the first connection. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { UsageError } from "@rankcast/core";
import type { LinkCertificates } from "./link-key.ts";

/**
 * Checks that each is PEM, and that the key is the certificate's. `names` are what the caller calls the three, for messages.
 * @throws {UsageError} RANKCAST_USAGE naming the one that is wrong; nothing of a key is shown.
 */
export function readCertificates(
  certificates: LinkCertificates,
  names: { readonly [part in keyof LinkCertificates]: string },
): LinkCertificates {
  const { certificate, key, authority } = certificates;
  check(names.certificate, "a certificate as PEM text", () => new X509Certificate(certificate));
  check(names.authority, "a certificate as PEM text", () => new X509Certificate(authority));
  check(names.key, "a private key as PEM text, without a passphrase", () => createPrivateKey(key));
  check(names.key, `the private key of ${names.certificate}`, () => createSecureContext({ cert: certificate, key, ca: authority }));
  return certificates;
}

function check(option: string, expected: string, read: () => unknown): void {
  try {
    read();
  } catch (cause) {
    throw new UsageError("RANKCAST_USAGE", `${option}: expected ${expected}`, { details: { option, expected }, cause });
  }
}
