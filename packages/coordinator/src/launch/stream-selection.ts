/** torchrun's way to choose output streams: one digit for all ranks, or `local rank:digit` pairs. */
import { quote, UsageError } from "@rankcast/core/launcher";

/** Which of its two streams a rank's choice covers. */
export interface StreamChoice {
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** The choice of each local rank. */
export type StreamSelection = (localRank: number) => StreamChoice;

/**
 * `0` none, `1` stdout, `2` stderr, `3` both; `0:1,2:3` by local rank, others none.
 * @throws {UsageError} RANKCAST_USAGE naming `source` when the text is something else.
 */
export function parseStreamSelection(text: string, source: string): StreamSelection {
  if (/^[0-3]$/.test(text)) {
    const choice = choiceOf(Number(text));
    return () => choice;
  }
  const choices = new Map<number, StreamChoice>();
  for (const part of text.split(",")) {
    const match = /^(\d{1,5}):([0-3])$/.exec(part);
    if (match === null) {
      throw new UsageError("RANKCAST_USAGE", `${source}: expected 0 to 3, or pairs like 0:1,1:3, found ${quote(text)}`, {
        details: { option: source, found: text.slice(0, 200) },
      });
    }
    choices.set(Number(match[1]), choiceOf(Number(match[2])));
  }
  const none = choiceOf(0);
  return (localRank) => choices.get(localRank) ?? none;
}

function choiceOf(bits: number): StreamChoice {
  return { stdout: (bits & 1) !== 0, stderr: (bits & 2) !== 0 };
}
