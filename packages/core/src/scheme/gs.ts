/** `gs://`: objects of Google Cloud Storage through its XML API. */
import type { ResolvedSource } from "../source/byte-source.ts";
import { s3Signer } from "./aws-signature.ts";
import { keyPath, parseBucketUri } from "./bucket-uri.ts";
import { openRemote, type RemoteKnowledge } from "./open-remote.ts";
import { type ResolveOptions, settleOptions } from "./resolve-context.ts";

const DEFAULT_ENDPOINT = "https://storage.googleapis.com";

/**
 * Opens an object with the caller's token, `CLOUDSDK_AUTH_ACCESS_TOKEN`, an HMAC key (`GS_ACCESS_KEY_ID`, `GS_SECRET_ACCESS_KEY`), or unsigned.
 * @throws {SourceError} as `fetchToCache`; {UsageError} RANKCAST_USAGE for a malformed name.
 */
export async function loadFromGs(uri: string, options: ResolveOptions = {}): Promise<ResolvedSource> {
  const context = settleOptions(options);
  const { bucket, key } = parseBucketUri(uri);
  const { endpoint, accessToken, hmacKeyId, hmacSecret } = context.environment.google;
  // The emulator variable is a host, with or without a scheme.
  const base = endpoint === undefined ? DEFAULT_ENDPOINT : endpoint.includes("://") ? endpoint : `http://${endpoint}`;
  const token = context.token ?? accessToken;
  const hmac = token === undefined && hmacKeyId !== undefined && hmacSecret !== undefined;
  const known: RemoteKnowledge = {
    name: `gs://${bucket}/${key}`,
    // The XML API takes S3's signatures; the region is a formality there.
    ...(hmac ? { sign: s3Signer({ accessKeyId: hmacKeyId, secretAccessKey: hmacSecret }, "auto") } : {}),
  };
  return openRemote(
    `${base.replace(/\/+$/, "")}/${bucket}/${keyPath(key)}`,
    { ...context, ...(token === undefined ? {} : { token }) },
    known,
  );
}
