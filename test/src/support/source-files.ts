/** The sources of the repository, parsed once, for the architecture tests. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type Comment, parseSync } from "oxc-parser";

/** Absolute path of the repository. */
export const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** Any node of the syntax tree; the parser's own types are too many to name here. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

/** One parsed file. */
export interface SourceFile {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly program: SyntaxNode;
  readonly comments: readonly Comment[];
  /** Import and re-export specifiers. */
  readonly imports: readonly string[];
}

/** All `.ts` files below `folder` (relative to the repository), generated ones left out. */
export function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(join(REPOSITORY, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(REPOSITORY, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((path) => !path.includes("/generated/") && !path.includes("/dist/") && !path.includes("/node_modules/"))
    .sort()
    .map(parse);
}

function parse(path: string): SourceFile {
  const text = readFileSync(join(REPOSITORY, path), "utf8");
  const { program, comments, module, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  const imports = [
    ...module.staticImports.map((each) => each.moduleRequest.value),
    ...module.staticExports.flatMap((each) => each.entries.flatMap((entry) => (entry.moduleRequest ? [entry.moduleRequest.value] : []))),
    ...[...text.matchAll(/\bimport\(\s*["']([^"']+)["']\s*\)/g)].map((match) => match[1] ?? ""),
  ];
  return { path, text, program: program as unknown as SyntaxNode, comments, imports: [...new Set(imports)] };
}

/** Line number (1-based) of a character offset. */
export function lineOf(file: SourceFile, offset: number): number {
  let line = 1;
  for (let at = file.text.indexOf("\n"); at !== -1 && at < offset; at = file.text.indexOf("\n", at + 1)) line += 1;
  return line;
}

/** Calls `visit` for every node, parents first; a visitor that returns false keeps the children out. */
export function walk(node: SyntaxNode, visit: (node: SyntaxNode, parent: SyntaxNode | null) => boolean | undefined): void {
  const stack: [SyntaxNode, SyntaxNode | null][] = [[node, null]];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [current, parent] = next;
    if (visit(current, parent) === false) continue;
    for (const value of Object.values(current)) {
      for (const child of Array.isArray(value) ? value : [value]) {
        if (typeof child === "object" && child !== null && typeof (child as SyntaxNode).type === "string")
          stack.push([child as SyntaxNode, current]);
      }
    }
  }
}

/** The doc comment that ends right before `node`, or an empty string. */
export function docOf(file: SourceFile, node: SyntaxNode): string {
  const before = file.comments
    .filter((comment) => comment.type === "Block" && comment.value.startsWith("*") && comment.end <= node.start)
    .at(-1);
  return before && /^\s*$/.test(file.text.slice(before.end, node.start)) ? before.value : "";
}
