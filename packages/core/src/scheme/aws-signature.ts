/** Signature version 4 for S3 and stores that speak its language; the only importer of aws4fetch (law L7). */
import { AwsV4Signer } from "aws4fetch";
import type { SignableRequest } from "../source/http-session.ts";

/** Keys that sign. Secrets. */
export interface SigningKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** A `sign` hook: makes the headers of one request in one region. The body is not signed (it is empty), the range header neither. */
export function s3Signer(keys: SigningKeys, region: string): (request: SignableRequest) => Promise<Readonly<Record<string, string>>> {
  return async ({ url, method }) => {
    const signer = new AwsV4Signer({ ...keys, service: "s3", region, url: url.href, method });
    const { headers } = await signer.sign();
    const signed: Record<string, string> = {};
    headers.forEach((value: string, name: string) => {
      if (name !== "host") signed[name] = value;
    });
    return signed;
  };
}
