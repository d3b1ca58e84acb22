/** A small JSON answer of an API. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { batchBytes } from "./http-body.ts";
import type { HttpResponse } from "./http-client.ts";
import type { HttpSession } from "./http-session.ts";

/**
 * Reads and parses a body of at most `limits.indexBytes`.
 * @throws {SourceError} RANKCAST_HTTP_STATUS when it is no JSON; {FormatError} RANKCAST_LIMIT; as the body.
 */
export async function readJson(session: HttpSession, response: HttpResponse): Promise<unknown> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const batch of response.body()) {
    pieces.push(...batch);
    length += batchBytes(batch);
    enforceLimit(session.limits, "indexBytes", length, { file: response.name });
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString("utf8"));
  } catch (cause) {
    throw new SourceError("RANKCAST_HTTP_STATUS", `${printable(response.name)}: expected JSON`, {
      details: { url: response.name, status: response.status },
      cause,
    });
  }
}
