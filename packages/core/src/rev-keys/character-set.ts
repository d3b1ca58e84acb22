/** Which characters a set node matches, decided as CPython's compiled sets decide it. */
import { equalsOf, isCased, lowerCase, upperCase } from "./case-mapping.ts";
import { ASCII, type Category, type Flags, IGNORECASE, type SetMember } from "./pattern-nodes.ts";

const WORD = /^[\p{L}\p{N}_]$/u;
const DIGIT = /^\p{Nd}$/u;
// str.isspace(): bidirectional type WS, B or S, or category Zs. Unlike JavaScript's \s it has U+001C to U+001F and U+0085 and lacks U+FEFF.
const SPACE = /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$/u;

/** Whether a code point belongs to `\d`, `\s` or `\w`. */
export function inCategory(category: Category, code: number, ascii: boolean): boolean {
  if (code < 0x80) {
    if (category === "digit") return code >= 0x30 && code <= 0x39;
    if (category === "space") return code === 0x20 || (code >= 0x09 && code <= 0x0d) || (!ascii && code >= 0x1c && code <= 0x1f);
    return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) || code === 0x5f;
  }
  if (ascii) return false;
  const pattern = category === "digit" ? DIGIT : category === "space" ? SPACE : WORD;
  return pattern.test(String.fromCodePoint(code));
}

/** A set of characters, fast for the first 256. */
export class CharacterSet {
  readonly #table = new Uint8Array(256);
  readonly #matches: (code: number) => boolean;

  constructor(members: readonly SetMember[], negate: boolean, flags: Flags) {
    const ascii = (flags & ASCII) !== 0;
    const folds = (flags & IGNORECASE) !== 0 && members.some((member) => hasCased(member, ascii));
    const tests = members.map((member) => (folds ? foldedTest(member, ascii) : plainTest(member, ascii)));
    this.#matches = (code) => {
      const shown = folds ? lowerCase(code, ascii) : code;
      return tests.some((test) => test(shown)) !== negate;
    };
    for (let code = 0; code < 256; code += 1) this.#table[code] = this.#matches(code) ? 1 : 0;
  }

  /** Whether the set matches a code point. */
  has(code: number): boolean {
    return code < 256 ? this.#table[code] === 1 : this.#matches(code);
  }
}

/** Characters beyond the basic plane are always taken for cased (`_optimize_charset` does so). */
function hasCased(member: SetMember, ascii: boolean): boolean {
  if (member.type === "category") return false;
  if (member.last > 0xffff) return true;
  for (let code = member.first; code <= member.last; code += 1) if (isCased(code, ascii)) return true;
  return false;
}

function plainTest(member: SetMember, ascii: boolean): (code: number) => boolean {
  if (member.type === "category") return (code) => inCategory(member.category, code, ascii) !== member.negate;
  return (code) => code >= member.first && code <= member.last;
}

/** The test of a lowered character: against the lowered members, and letters that share an uppercase with them. */
function foldedTest(member: SetMember, ascii: boolean): (code: number) => boolean {
  if (member.type === "category") return plainTest(member, ascii);
  const lowered = new Set<number>();
  for (let code = member.first; code <= Math.min(member.last, 0xffff); code += 1) {
    const lower = lowerCase(code, ascii);
    lowered.add(lower);
    if (!ascii) for (const equal of equalsOf(lower)) lowered.add(equal);
  }
  const inRange = plainTest(member, ascii);
  return (code) => lowered.has(code) || (member.last > 0xffff && (inRange(code) || inRange(upperCase(code))));
}
