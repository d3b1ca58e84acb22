/** A rule run by V8, when V8 may run it. */
import { type JavaScriptFitness, javascriptFitness, referencedGroups } from "./javascript-fitness.ts";
import { type JavaScriptSource, toJavaScript, toJavaScriptNotEmpty } from "./javascript-pattern.ts";
import type { Rewrite } from "./literal-rewrite.ts";
import type { TemplatePart } from "./parse-template.ts";
import type { ParsedPattern } from "./pattern-nodes.ts";

/** How V8 rewrites the keys that are within its bound. */
export interface JavaScriptRewrite {
  readonly rewrite: Rewrite;
  readonly fitness: JavaScriptFitness;
}

/** The rewrite of a rule that means the same in JavaScript and cannot run away there; undefined for every other. */
export function javascriptRewrite(parsed: ParsedPattern, parts: readonly TemplatePart[]): JavaScriptRewrite | undefined {
  const used = new Set([...parts.filter((part) => typeof part === "number"), ...referencedGroups(parsed.body)]);
  const fitness = javascriptFitness(parsed, used);
  if (fitness.obstacle !== undefined) return undefined;
  const written = toJavaScript(parsed.body, used);
  if (written === undefined) return undefined;
  const any = new Replacement(written, parts, "gu");
  if (!fitness.nullable) return { rewrite: (key) => replaceAll(key, any), fitness };
  const again = toJavaScriptNotEmpty(parsed.body, used);
  if (again === undefined) return undefined;
  const notEmpty = new Replacement(again, parts, "yu");
  return { rewrite: (key) => replaceAllNullable(key, any, notEmpty), fitness };
}

/** A JavaScript pattern and what is written for its matches. */
class Replacement {
  readonly #pattern: RegExp;
  /** Text, or the number of a JavaScript group. */
  readonly #parts: readonly TemplatePart[];
  /** Where the last match begins and ends. */
  begin = 0;
  end = 0;

  constructor({ source, groups }: JavaScriptSource, parts: readonly TemplatePart[], flags: string) {
    this.#pattern = new RegExp(source, flags);
    this.#parts = parts.map((part) => (typeof part === "string" || part === 0 ? part : (groups.get(part) as number)));
  }

  /** What is written for the next match at or behind `from`; undefined when there is none. */
  next(key: string, from: number): string | undefined {
    this.#pattern.lastIndex = from;
    const match = this.#pattern.exec(key);
    if (match === null) return undefined;
    this.begin = match.index;
    this.end = this.#pattern.lastIndex;
    let written = "";
    for (const part of this.#parts) written += typeof part === "string" ? part : (match[part] ?? "");
    return written;
  }
}

/** For patterns whose matches are never empty. */
function replaceAll(key: string, any: Replacement): string {
  let written = any.next(key, 0);
  if (written === undefined) return key;
  let result = "";
  let copied = 0;
  for (; written !== undefined; written = any.next(key, copied)) {
    result += key.slice(copied, any.begin) + written;
    copied = any.end;
  }
  return result + key.slice(copied);
}

/** After an empty match Python tries the same place again for one that is not empty, before it steps on. */
function replaceAllNullable(key: string, any: Replacement, notEmpty: Replacement): string {
  let result = "";
  let copied = 0;
  for (let from = 0; from <= key.length; ) {
    const written = any.next(key, from);
    if (written === undefined) break;
    result += key.slice(copied, any.begin) + written;
    copied = any.end;
    from = any.end;
    if (any.end > any.begin) continue;
    const longer = notEmpty.next(key, from);
    if (longer !== undefined) {
      result += longer;
      copied = notEmpty.end;
      from = notEmpty.end;
    } else {
      from += (key.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
    }
  }
  return result + key.slice(copied);
}
