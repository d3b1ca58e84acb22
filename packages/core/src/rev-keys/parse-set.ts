/** Character sets: `[a-z]`, `[^]x]`. */

import { parseSetEscape } from "./parse-escape.ts";
import type { Flags, PatternNode, SetMember } from "./pattern-nodes.ts";
import { lengthOf, type Tokens } from "./tokens.ts";

/**
 * Parses a set whose `[` has just been taken. A `]` in first place is a member; `[`, `&&`, `||`, `~~` and `--` mean nothing special.
 * @throws {PatternFault} with CPython's text for sets without an end and ranges that are none.
 */
export function parseSet(tokens: Tokens, flags: Flags): PatternNode {
  const begin = tokens.position - 1;
  const negate = tokens.match("^");
  const members: SetMember[] = [];
  const unterminated = () => tokens.fault("unterminated character set", tokens.position - begin);
  for (;;) {
    const token = tokens.take();
    if (token === undefined) throw unterminated();
    if (token === "]" && members.length > 0) break;
    const first = memberOf(tokens, token);
    if (!tokens.match("-")) {
      members.push(first);
      continue;
    }
    const second = tokens.take();
    if (second === undefined) throw unterminated();
    if (second === "]") {
      members.push(first, characterMember("-"));
      break;
    }
    members.push(rangeOf(tokens, token, first, second, memberOf(tokens, second)));
  }
  return { type: "set", members, negate, flags };
}

function memberOf(tokens: Tokens, token: string): SetMember {
  return token.startsWith("\\") ? parseSetEscape(tokens, token) : characterMember(token);
}

function characterMember(character: string): SetMember {
  const code = character.codePointAt(0) ?? 0;
  return { type: "range", first: code, last: code };
}

function rangeOf(tokens: Tokens, from: string, first: SetMember, to: string, last: SetMember): SetMember {
  if (first.type === "range" && last.type === "range" && last.first >= first.first) {
    return { type: "range", first: first.first, last: last.first };
  }
  throw tokens.fault(`bad character range ${from}-${to}`, lengthOf(from) + 1 + lengthOf(to));
}
