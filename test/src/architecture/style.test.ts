/** Sizes, documentation and forbidden escapes. */
import { expect } from "chai";
import { docOf, lineOf, type SourceFile, type SyntaxNode, sourceFiles, walk } from "../support/source-files.js";

const FILE_LINES_MAX = 300;
const FUNCTION_LINES_MAX = 70;
/** Doors are lists of names, sorted by folder: cutting one in two would only hide where a name comes from. */
const DOOR = /^packages\/[a-z]+\/src\/(index|internal|runtime)\.ts$/;
const DOOR_LINES_MAX = 400;

const files = [...sourceFiles("packages"), ...sourceFiles("proto/src")];
const testFiles = [...sourceFiles("test/src"), ...sourceFiles("bench/src"), ...sourceFiles("examples")];
const FUNCTIONS = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);

const at = (file: SourceFile, node: SyntaxNode): string => `${file.path}:${lineOf(file, node.start)}`;

describe("architecture: style", () => {
  it(`files have at most ${FILE_LINES_MAX} lines`, () => {
    const long = [...files, ...testFiles]
      .filter((file) => file.text.split("\n").length - 1 > (DOOR.test(file.path) ? DOOR_LINES_MAX : FILE_LINES_MAX))
      .map((file) => `${file.path}: ${file.text.split("\n").length - 1}`);
    expect(long).to.deep.equal([]);
  });

  it(`functions have at most ${FUNCTION_LINES_MAX} lines`, () => {
    const long: string[] = [];
    for (const file of files) {
      walk(file.program, (node) => {
        if (FUNCTIONS.has(node.type) && lineOf(file, node.end) - lineOf(file, node.start) + 1 > FUNCTION_LINES_MAX)
          long.push(at(file, node));
        return undefined;
      });
    }
    expect(long).to.deep.equal([]);
  });

  it("nothing is any, asserted non-null, or ignored", () => {
    const wrong: string[] = [];
    for (const file of files) {
      walk(file.program, (node) => {
        if (node.type === "TSAnyKeyword" || node.type === "TSNonNullExpression") wrong.push(`${at(file, node)} ${node.type}`);
        return undefined;
      });
      if (file.comments.some((comment) => /@ts-(ignore|expect-error|nocheck)/.test(comment.value)))
        wrong.push(`${file.path} switches the compiler off`);
    }
    expect(wrong).to.deep.equal([]);
  });

  it("no default exports, enums or wildcard re-exports", () => {
    const wrong: string[] = [];
    for (const file of files) {
      walk(file.program, (node) => {
        if (["ExportDefaultDeclaration", "TSEnumDeclaration", "ExportAllDeclaration"].includes(node.type))
          wrong.push(`${at(file, node)} ${node.type}`);
        return undefined;
      });
    }
    expect(wrong).to.deep.equal([]);
  });

  it("every file says what it is", () => {
    const silent = files.filter((file) => !file.text.startsWith("/**")).map((file) => file.path);
    expect(silent).to.deep.equal([]);
  });

  it("every export is documented", () => {
    const silent = files.flatMap((file) =>
      exportsOf(file)
        .filter(({ outer }) => docOf(file, outer) === "")
        .map(({ outer }) => at(file, outer)),
    );
    expect(silent).to.deep.equal([]);
  });

  it("every export that throws says so with @throws", () => {
    const silent: string[] = [];
    for (const file of files) {
      for (const { outer, inner } of exportsOf(file)) {
        if (inner.type === "FunctionDeclaration" && throwsItself(inner) && !/@throws/.test(docOf(file, outer)))
          silent.push(at(file, outer));
        if (inner.type === "ClassDeclaration") silent.push(...silentMethods(file, inner, docOf(file, outer)));
      }
    }
    expect(silent).to.deep.equal([]);
  });
});

function exportsOf(file: SourceFile): { outer: SyntaxNode; inner: SyntaxNode }[] {
  const found: { outer: SyntaxNode; inner: SyntaxNode }[] = [];
  for (const statement of (file.program["body"] as SyntaxNode[]) ?? []) {
    const inner = statement["declaration"] as SyntaxNode | null | undefined;
    if (statement.type === "ExportNamedDeclaration" && inner) found.push({ outer: statement, inner });
  }
  return found;
}

function silentMethods(file: SourceFile, declaration: SyntaxNode, classDoc: string): string[] {
  const members = ((declaration["body"] as SyntaxNode)["body"] as SyntaxNode[]) ?? [];
  return members
    .filter(
      (member) =>
        member.type === "MethodDefinition" &&
        (member["key"] as SyntaxNode).type !== "PrivateIdentifier" &&
        member["accessibility"] !== "private",
    )
    .filter((member) => throwsItself(member["value"] as SyntaxNode) && !/@throws/.test(docOf(file, member) + classDoc))
    .map((member) => at(file, member));
}

/** Whether the function's own body (not functions inside it) throws a new error. */
function throwsItself(declaration: SyntaxNode): boolean {
  let found = false;
  walk(declaration, (node) => {
    if (node !== declaration && FUNCTIONS.has(node.type)) return false;
    if (node.type === "ThrowStatement" && (node["argument"] as SyntaxNode).type === "NewExpression") found = true;
    return undefined;
  });
  return found;
}
