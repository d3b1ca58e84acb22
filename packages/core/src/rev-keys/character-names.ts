/**
 * Unicode names of the printable ASCII characters, for `\N{…}`. The full table has 34 000 names, and keys of state dicts are ASCII but for
 * oddities; who needs one of those writes the character itself.
 */

/** In the order of the code points, letters and digits left out. */
const PUNCTUATION: readonly (readonly [string, string])[] = [
  [" ", "SPACE"],
  ["!", "EXCLAMATION MARK"],
  ['"', "QUOTATION MARK"],
  ["#", "NUMBER SIGN"],
  ["$", "DOLLAR SIGN"],
  ["%", "PERCENT SIGN"],
  ["&", "AMPERSAND"],
  ["'", "APOSTROPHE"],
  ["(", "LEFT PARENTHESIS"],
  [")", "RIGHT PARENTHESIS"],
  ["*", "ASTERISK"],
  ["+", "PLUS SIGN"],
  [",", "COMMA"],
  ["-", "HYPHEN-MINUS"],
  [".", "FULL STOP"],
  ["/", "SOLIDUS"],
  [":", "COLON"],
  [";", "SEMICOLON"],
  ["<", "LESS-THAN SIGN"],
  ["=", "EQUALS SIGN"],
  [">", "GREATER-THAN SIGN"],
  ["?", "QUESTION MARK"],
  ["@", "COMMERCIAL AT"],
  ["[", "LEFT SQUARE BRACKET"],
  ["\\", "REVERSE SOLIDUS"],
  ["]", "RIGHT SQUARE BRACKET"],
  ["^", "CIRCUMFLEX ACCENT"],
  ["_", "LOW LINE"],
  ["`", "GRAVE ACCENT"],
  ["{", "LEFT CURLY BRACKET"],
  ["|", "VERTICAL LINE"],
  ["}", "RIGHT CURLY BRACKET"],
  ["~", "TILDE"],
];
const DIGIT_NAMES = ["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"];
const LETTERS = Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ");

const NAMES: ReadonlyMap<string, string> = new Map([
  ...PUNCTUATION.map(([character, name]) => [name, character] as const),
  ...DIGIT_NAMES.map((name, digit) => [`DIGIT ${name}`, String(digit)] as const),
  ...LETTERS.map((letter) => [`LATIN CAPITAL LETTER ${letter}`, letter] as const),
  ...LETTERS.map((letter) => [`LATIN SMALL LETTER ${letter}`, letter.toLowerCase()] as const),
]);

/** The code point of a name, whatever its case; undefined for names that are not known here. */
export function characterByName(name: string): number | undefined {
  return NAMES.get(name.toUpperCase())?.codePointAt(0);
}
