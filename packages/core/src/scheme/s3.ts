/** `s3://`: objects of S3 and of every store with its interface (`AWS_ENDPOINT_URL`). */
import { SourceError } from "../errors/checkpoint-error.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import { openFetchContext } from "../source/fetch-options.ts";
import { send } from "../source/http-request.ts";
import { parseHttpUrl } from "../source/http-url.ts";
import { type AwsAccount, awsAccount } from "./aws-credentials.ts";
import { s3Signer } from "./aws-signature.ts";
import { type BucketObject, keyPath, parseBucketUri } from "./bucket-uri.ts";
import { openRemote } from "./open-remote.ts";
import { type ResolveOptions, type SettledOptions, settleOptions } from "./resolve-context.ts";

/**
 * Opens an object, signed with the standard credentials or, without any, unsigned. A bucket of another region is found by asking for it.
 * @throws {SourceError} as `fetchToCache`; {UsageError} RANKCAST_USAGE for a malformed name.
 */
export async function loadFromS3(uri: string, options: ResolveOptions = {}): Promise<ResolvedSource> {
  const context = settleOptions(options);
  const object = parseBucketUri(uri);
  const account = await awsAccount(context.environment);
  try {
    return await open(object, account, account.region, context);
  } catch (error) {
    const elsewhere = isRegionTrouble(error) && account.endpoint === undefined ? await bucketRegion(object.bucket, context) : null;
    if (elsewhere === null || elsewhere === account.region) throw error;
    return open(object, account, elsewhere, context);
  }
}

function open(object: BucketObject, account: AwsAccount, region: string, context: SettledOptions): Promise<ResolvedSource> {
  const sign = account.keys === null ? {} : { sign: s3Signer(account.keys, region) };
  return openRemote(objectUrl(object, account, region), context, { ...sign, name: `s3://${object.bucket}/${object.key}` });
}

/** Path style for own endpoints and for buckets with dots, whose host names no certificate covers; else the bucket is part of the host. */
function objectUrl({ bucket, key }: BucketObject, { endpoint }: AwsAccount, region: string): string {
  if (endpoint !== undefined) return `${endpoint.replace(/\/+$/, "")}/${bucket}/${keyPath(key)}`;
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  if (bucket.includes(".")) return `https://s3.${region}.${domain}/${bucket}/${keyPath(key)}`;
  return `https://${bucket}.s3.${region}.${domain}/${keyPath(key)}`;
}

/** A wrong region answers with a redirect that names no location, or with 400. */
function isRegionTrouble(error: unknown): boolean {
  return (
    error instanceof SourceError &&
    (error.code === "RANKCAST_REDIRECT" || (error.code === "RANKCAST_HTTP_STATUS" && error.details["status"] === 400))
  );
}

/** S3 tells a bucket's region to anybody, also together with a refusal. Null when it does not. */
async function bucketRegion(bucket: string, context: SettledOptions): Promise<string | null> {
  const { session } = openFetchContext({ ...context, token: undefined, headers: undefined }, context.stats);
  try {
    const response = await send(session, parseHttpUrl(`https://s3.amazonaws.com/${bucket}`), { method: "HEAD", sameOriginOnly: true });
    response.discard();
    return response.header("x-amz-bucket-region");
  } catch {
    return null;
  } finally {
    session.close();
  }
}
