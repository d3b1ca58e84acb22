/** What happens when nobody reads what is written: a closed pipe is no failure, a full disk is one. */
import { SourceError } from "@rankcast/core/launcher";

/** A stream that may fail. */
interface Output {
  on(event: "error", listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/** Node destroys the stream after its first error; what is written later fails with this. */
const AFTERWARDS = "ERR_STREAM_DESTROYED";

/**
 * Without a listener Node ends the process with a stack trace. `rankcast inspect model.pt | head -1` has what it wanted: the rest is dropped and
 * the verb goes on to its own end. Anything else than a closed reader is told once.
 */
export function guardOutput(stdout: Output, stderr: Output, onFailure: (error: SourceError) => void): void {
  let told = false;
  stdout.on("error", (error) => {
    if (error.code === "EPIPE" || error.code === AFTERWARDS || told) return;
    told = true;
    onFailure(
      new SourceError("RANKCAST_OUTPUT", `the output cannot be written: ${error.code ?? error.message}`, {
        details: { systemError: error.code ?? null },
        cause: error,
      }),
    );
  });
  // There is nobody left to tell.
  stderr.on("error", () => undefined);
}
