/** `s3://bucket/key` and `gs://bucket/key`. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

/** An object in a bucket. */
export interface BucketObject {
  readonly bucket: string;
  readonly key: string;
}

/**
 * Parses an object's name. The key is taken literally: nothing in it is decoded.
 * @throws {UsageError} RANKCAST_USAGE when bucket or key is missing or could not be a bucket's name.
 */
export function parseBucketUri(uri: string): BucketObject {
  const [, scheme = "", bucket = "", key = ""] = /^([a-z0-9]+):\/\/([^/]*)\/?([\s\S]*)$/.exec(uri) ?? [];
  if (/^[a-z0-9A-Z][a-zA-Z0-9._-]{1,221}$/.test(bucket) && key !== "" && !key.endsWith("/")) return { bucket, key };
  throw new UsageError("RANKCAST_USAGE", `${quote(uri)}: expected ${scheme}://bucket/key of one object`, { details: { weights: uri } });
}

/** A key as the path of a URL. Everything but unreserved characters is escaped: signatures are made over exactly this form. */
export function keyPath(key: string): string {
  const escaped = (text: string): string =>
    encodeURIComponent(text).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);
  return (
    key
      .split("/")
      // A URL parser would resolve these two; no server takes them for folders.
      .map((each) => (each === "." || each === ".." ? each.replaceAll(".", "%2E") : escaped(each)))
      .join("/")
  );
}
