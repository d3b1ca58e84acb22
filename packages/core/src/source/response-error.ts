/** The error of an answer that is not the file. */
import type { SourceError } from "../errors/checkpoint-error.ts";
import { batchBytes } from "./http-body.ts";
import type { HttpResponse } from "./http-client.ts";
import { statusError } from "./http-errors.ts";
import { parseRetryAfter } from "./retry-policy.ts";

const SNIPPET_BYTES = 512;

/** The typed error of an answer that is not the file, with the beginning of its body. */
export async function responseError(name: string, response: HttpResponse): Promise<SourceError> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const batch of response.body()) {
      pieces.push(...batch);
      length += batchBytes(batch);
      if (length >= SNIPPET_BYTES) break;
    }
  } catch {
    // The status says enough.
  }
  const snippet = Buffer.concat(pieces).toString("utf8").slice(0, SNIPPET_BYTES);
  return statusError(name, response.status, snippet, parseRetryAfter(response.header("retry-after")));
}
