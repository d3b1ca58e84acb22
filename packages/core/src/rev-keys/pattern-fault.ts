/** What is wrong with a Python pattern or template. */

/**
 * Thrown by the parsers; `compileRevKeys` turns it into an error that names the rule. The message is CPython 3.11's, position included, when
 * `origin` is `python`, and ours when CPython would accept what we cannot.
 */
export class PatternFault extends Error {
  /** Code points before the place; undefined when there is no single one. */
  readonly position: number | undefined;
  readonly origin: "python" | "ours";
  /** What to write instead. */
  readonly hint: string | undefined;

  /** `whole` is the text with the fault; only one of several lines needs it, to tell line and column. */
  constructor(text: string, options: { position?: number; whole?: readonly string[]; origin?: "python" | "ours"; hint?: string } = {}) {
    super(
      options.position === undefined
        ? text
        : `${text} at position ${options.position}${lineAndColumn(options.whole ?? [], options.position)}`,
    );
    this.name = "PatternFault";
    this.position = options.position;
    this.origin = options.origin ?? "python";
    this.hint = options.hint;
  }
}

function lineAndColumn(whole: readonly string[], position: number): string {
  if (!whole.includes("\n")) return "";
  const before = whole.slice(0, position);
  return ` (line ${before.filter((character) => character === "\n").length + 1}, column ${position - before.lastIndexOf("\n")})`;
}

/** `text` as Python's `repr` shows a string. */
export function pythonRepr(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const inner = text.replace(/[\\'"\p{C}\p{Z}]/gu, (character) => {
    if (character === "\\" || character === mark) return `\\${character}`;
    if (character === " " || character === "'" || character === '"') return character;
    const named = new Map([
      ["\n", "\\n"],
      ["\r", "\\r"],
      ["\t", "\\t"],
    ]).get(character);
    const code = character.codePointAt(0) ?? 0;
    if (named) return named;
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x1_0000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
  return mark + inner + mark;
}
