/**
 * The rules that a successor of vis4d's loader keeps or changes on purpose are numbered (docs/from-vis4d.md has those that differ). Each has a
 * test that carries its number in its title, so that `npm test -- -g "F11:"` shows the rule at work; the page says something about each that differs.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const SOURCES = fileURLToPath(new URL("../../src/", import.meta.url));
const PAGE = readFileSync(new URL("../../../docs/from-vis4d.md", import.meta.url), "utf8");

/** Letter, number of rules, and what they are about. */
const SECTIONS = [
  ["A", 9, "schemes and their registry"],
  ["B", 14, "entry point, selection, renaming"],
  ["C", 14, "local files"],
  ["D", 15, "downloads and the cache"],
  ["E", 6, "mapLocation"],
  ["F", 20, "loading into a module"],
  ["G", 9, "versions, hooks, wrappers"],
  ["H", 8, "reports and strictness"],
  ["I", 9, "ranks, barriers, failures"],
  ["R", 25, "Python's re.sub"],
] as const;

/** Rules that are the ancestors' own, with nothing to tell. R3, R20 and R25 have rows, the others one for all. */
const SAME = new Set(["B2", "B3", "B5", "C3", "C10", "C13", "D14", "E6", "F2", "F3", "F5", "F7", "F10", "F19", "G1"]);

/** Titles of tests and of groups of them. */
function titles(): string[] {
  const files = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".test.ts"));
  return files.flatMap((name) => {
    const text = readFileSync(join(SOURCES, name), "utf8");
    // Titles that come from a table are texts of that table.
    return [...text.matchAll(/(["'`])((?:[A-IR]\d{1,2}(?:, |–)?)+)(?=: |\1)/g)].map(([, , ids]) => ids as string);
  });
}

/** `B4`, and the middle of `B11–B13`. */
function idsOf(list: string): string[] {
  return list.split(", ").flatMap((part) => {
    const [first = "", last = first] = part.split("–");
    const [begin, end] = [Number(first.slice(1)), Number(last.slice(1))];
    return Array.from({ length: end - begin + 1 }, (_, at) => `${first[0]}${begin + at}`);
  });
}

describe("the numbered rules", () => {
  const tested = new Set(titles().flatMap(idsOf));
  const told = new Set([...PAGE.matchAll(/^\| ((?:[A-IR]\d{1,2}(?:, |–)?)+) \|/gm)].flatMap(([, ids]) => idsOf(ids as string)));

  for (const [letter, count, subject] of SECTIONS) {
    const ids = Array.from({ length: count }, (_, at) => `${letter}${at + 1}`);

    it(`${letter}: each of the ${count} rules about ${subject} has a test of its name`, () => {
      expect(ids.filter((id) => !tested.has(id))).to.deep.equal([]);
    });

    it(`${letter}: the migration page tells what differs`, () => {
      expect(ids.filter((id) => !told.has(id) && !SAME.has(id))).to.deep.equal([]);
      expect(ids.filter((id) => told.has(id) && SAME.has(id))).to.deep.equal([]);
    });
  }
});
