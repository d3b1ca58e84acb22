/** How untrusted text gets into messages and logs. */

const QUOTED_CHARACTERS_MAX = 200;
// Everything a terminal or log could act on: control characters, DEL, C1, line separators, bidi controls.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]/gu;

/** `text` in double quotes, control characters and lone surrogates escaped, at most 200 characters (then `…`). */
export function quote(text: string): string {
  const cut = text.length > QUOTED_CHARACTERS_MAX ? `${text.slice(0, QUOTED_CHARACTERS_MAX)}…` : text;
  return `"${printable(cut).replace(/["\\]/g, "\\$&")}"`;
}

/** `text` with control characters and lone surrogates escaped; not capped. For names that people must see whole. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
