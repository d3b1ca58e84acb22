/** Bytes of an output stream as lines. */
import { StringDecoder } from "node:string_decoder";

/** A line that gets longer is passed on in pieces: a rank that never ends a line must not fill the launcher's memory. */
const LINE_CHARACTERS_MAX = 65_536;

/** Takes bytes, gives lines without their end. */
export interface LineSplitter {
  push(bytes: Uint8Array): void;
  /** Gives what is left when the stream ends. */
  end(): void;
}

/** Splits at `\n`; characters that span two chunks stay whole. */
export function createLineSplitter(onLine: (line: string) => void): LineSplitter {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const take = (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    while (rest.length >= LINE_CHARACTERS_MAX) {
      onLine(rest.slice(0, LINE_CHARACTERS_MAX));
      rest = rest.slice(LINE_CHARACTERS_MAX);
    }
  };
  return {
    push: (bytes) => take(decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))),
    end: () => {
      take(decoder.end());
      if (rest !== "") onLine(rest);
      rest = "";
    },
  };
}
