/**
 * Transcripts: what was said to a machine and what it answered, as text. A file is a list of blocks separated by empty lines:
 * commands, a line of four dashes, the answer. Lines that start with `#` explain. `REWRITE=1` writes the answers anew.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const SCENARIOS = fileURLToPath(new URL("../../scenarios/", import.meta.url));
const RULE = "----";

/** Answers commands; one fresh answerer per file. */
export type Answerer = (command: string) => readonly string[];

/** Makes one mocha test per `test/scenarios/<folder>/*.txt`. */
export function transcriptTests(folder: string, createAnswerer: () => Answerer): void {
  const directory = join(SCENARIOS, folder);
  for (const file of readdirSync(directory).sort()) {
    if (!file.endsWith(".txt")) continue;
    it(`follows scenario ${folder}/${basename(file, ".txt")}`, () => {
      const path = join(directory, file);
      const text = readFileSync(path, "utf8");
      const played = playTranscript(text, createAnswerer());
      if (process.env["REWRITE"] === "1") writeFileSync(path, played);
      else expect(played).to.equal(text);
    });
  }
}

/** The transcript with the answers that the answerer gives now. */
export function playTranscript(text: string, answer: Answerer): string {
  const blocks = text.trimEnd().split(/\n\n+/);
  return `${blocks.map((block) => playBlock(block, answer)).join("\n\n")}\n`;
}

function playBlock(block: string, answer: Answerer): string {
  const lines = block.split("\n");
  const rule = lines.indexOf(RULE);
  const said = rule === -1 ? lines : lines.slice(0, rule);
  const commands = said.filter((line) => !line.startsWith("#"));
  if (commands.length === 0) return block;
  const answers = commands.flatMap((command) => answer(command));
  return [...said, RULE, ...(answers.length === 0 ? ["(nothing)"] : answers)].join("\n");
}

/** A command's words: plain ones in order, `name=value` ones by name; double quotes keep spaces together. */
export function parseCommand(command: string): { readonly words: readonly string[]; readonly options: ReadonlyMap<string, string> } {
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const [, name, quoted, plain] of command.matchAll(/(?:([a-z]+)=)?(?:"([^"]*)"|(\S+))/g)) {
    const value = quoted ?? plain ?? "";
    if (name === undefined) words.push(value);
    else options.set(name, value);
  }
  return { words, options };
}

/** `0-2,5` as numbers. */
export function parseRanges(text: string): number[] {
  return text.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  });
}
