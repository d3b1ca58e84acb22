/** What proves that a node belongs to a job, from the variables that say where it is. Secrets are in files, never in variables. */
import { readFileSync } from "node:fs";
import { UsageError } from "@rankcast/core";
import { type ProcessVariables, readToken } from "@rankcast/core/runtime";
import type { LinkCertificates, LinkKey } from "./link-key.ts";
import { readCertificates } from "./read-certificates.ts";

/**
 * `RANKCAST_TOKEN_FILE`; `RANKCAST_TLS_CERT`, `_KEY` and `_CA`; `RANKCAST_INSECURE`.
 * @throws {UsageError} RANKCAST_USAGE when a file cannot be read, may be read by others or is not what it must be, or only some of the three
 * are named.
 */
export function readLinkKey(variables: ProcessVariables, jobId: string, insecure = false): LinkKey {
  const tokenFile = variables["RANKCAST_TOKEN_FILE"];
  return {
    jobId,
    token: tokenFile ? readToken(tokenFile) : "",
    certificates: certificatesOf(variables),
    insecure: insecure || /^(1|true|yes|on)$/i.test(variables["RANKCAST_INSECURE"] ?? ""),
  };
}

function certificatesOf(variables: ProcessVariables): LinkCertificates | null {
  const names = ["RANKCAST_TLS_CERT", "RANKCAST_TLS_KEY", "RANKCAST_TLS_CA"] as const;
  const missing = names.filter((name) => !variables[name]);
  if (missing.length === names.length) return null;
  if (missing.length > 0) {
    throw new UsageError("RANKCAST_USAGE", `${missing.join(" and ")} must be set too: nodes show a certificate and check the other's`, {
      details: { variables: missing },
    });
  }
  const [certificate, key, authority] = names;
  const read = (name: string): Buffer => readFile(name, variables[name] ?? "");
  return readCertificates({ certificate: read(certificate), key: read(key), authority: read(authority) }, { certificate, key, authority });
}

function readFile(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new UsageError("RANKCAST_USAGE", `the file of ${variable} cannot be read`, { details: { variable }, cause });
  }
}
