/**
 * A strict verifier of AWS signature version 4 for S3, written from AWS's description ("Authenticating Requests: Using the Authorization Header") and
 * held to its published examples by a test of its own.
 */
import { createHash, createHmac } from "node:crypto";

export interface SignedRequest {
  readonly method: string;
  /** Path and query as they stood in the request line. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** What is wrong with a request's signature; null when nothing is. */
export function signatureProblem(
  request: SignedRequest,
  accessKeyId: string,
  secret: string,
  region: string,
  nowMs: number = Date.now(),
): string | null {
  const header = (name: string): string => String(request.headers[name] ?? "");
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/.exec(
      header("authorization"),
    );
  if (match === null) return "no AWS4-HMAC-SHA256 authorization";
  const [, key, day = "", signedRegion, names = "", signature] = match;
  if (key !== accessKeyId) return "InvalidAccessKeyId";
  if (signedRegion !== region) return "AuthorizationHeaderMalformed: wrong region";
  const stamp = header("x-amz-date");
  const time = Date.parse(stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (!stamp.startsWith(day) || !(Math.abs(nowMs - time) < 15 * 60_000)) return "RequestTimeTooSkewed";
  const signed = names.split(";");
  if (!signed.includes("host")) return "host is not signed";
  const unsigned = Object.keys(request.headers).filter((name) => name.startsWith("x-amz-") && !signed.includes(name));
  if (unsigned.length > 0) return `not signed: ${unsigned.join(", ")}`;
  const payload = header("x-amz-content-sha256");
  if (payload !== "UNSIGNED-PAYLOAD" && payload !== createHash("sha256").digest("hex")) return "x-amz-content-sha256 is missing or wrong";
  const canonical = [
    request.method,
    ...canonicalUrl(request.url),
    ...signed.map((name) => `${name}:${header(name).trim().replace(/ +/g, " ")}`),
    "",
    names,
    payload,
  ].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", stamp, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
  const hmac = (with_: string | Buffer, text: string): Buffer => createHmac("sha256", with_).update(text).digest();
  const signingKey = hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), "s3"), "aws4_request");
  return hmac(signingKey, toSign).toString("hex") === signature ? null : "SignatureDoesNotMatch";
}

/** Canonical path and query: every byte but unreserved characters escaped, once; parameters sorted. */
function canonicalUrl(url: string): [string, string] {
  const [path = "", query = ""] = url.split("?");
  const parameters =
    query === "" ? [] : query.split("&").map((each) => each.split("=", 2).map((part) => escaped(decodeURIComponent(part))));
  const sorted = parameters.map(([name = "", value = ""]) => `${name}=${value}`).sort();
  return [
    path
      .split("/")
      .map((each) => escaped(decodeURIComponent(each)))
      .join("/"),
    sorted.join("&"),
  ];
}

function escaped(text: string): string {
  return [...Buffer.from(text)]
    .map((byte) =>
      /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}
