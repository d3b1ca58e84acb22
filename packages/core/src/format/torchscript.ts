/**
 * TorchScript archives hold a model as objects with attributes. Which attributes are parameters and buffers (and so in its state dict) is
 * declared in the archive's code, one line each per class; those two lines are read as text, nothing is compiled or run.
 *
 *     class Module(Module):
 *       __parameters__ = ["w", ]
 *       __buffers__ = ["b", ]
 */
import type { Container } from "../container/container.ts";
import {
  type CheckpointTree,
  OpaqueValue,
  SparseRef,
  TensorRef,
  TreeDict,
  TreeList,
  type TreeValue,
  type Warning,
} from "../manifest/checkpoint-tree.ts";
import type { FormatInput } from "./checkpoint-format.ts";

/** Code of real models is far below; a class in a larger file counts as one without a declaration. */
const CODE_BYTES_MAX = 16 * 1024 * 1024;

/** Names that one class declares, in order. */
interface Declaration {
  readonly parameters: readonly string[];
  readonly buffers: readonly string[];
}

/**
 * Changes the scripted modules below `root` in place: parameters first, then buffers, then everything else but undeclared tensors. A class
 * without a declaration keeps all it has.
 */
export async function keepDeclaredTensors(
  root: TreeValue,
  container: Container,
  folder: string,
  input: Pick<FormatInput, "signal">,
): Promise<CheckpointTree["warnings"]> {
  const declarations = new Map<string, Declaration>();
  const prefix = `${folder}/code/`;
  for (const entry of container.entries.values()) {
    if (!entry.name.startsWith(prefix) || !entry.name.endsWith(".py") || entry.nbytes > CODE_BYTES_MAX) continue;
    const module = entry.name.slice(prefix.length, -".py".length).replaceAll("/", ".");
    readDeclarations(Buffer.from(await container.read(entry, input.signal)).toString("utf8"), module, declarations);
  }
  let dropped = 0;
  for (const object of scriptedObjects(root)) {
    const declaration = declarations.get(object.global);
    if (declaration !== undefined) dropped += arrange(object, declaration);
  }
  const warning: Warning = {
    code: "script-attributes-dropped",
    message: `${dropped} tensors of a TorchScript archive are neither parameters nor buffers`,
  };
  return dropped > 0 ? [warning] : [];
}

/** Collects what the classes in one file of code declare, by qualified class name. */
export function readDeclarations(code: string, module: string, into: Map<string, Declaration>): void {
  let name: string | null = null;
  let parameters: readonly string[] | null = null;
  for (const line of linesOf(code)) {
    const header = /^class (\w{1,512})\b/.exec(line);
    if (header) {
      name = `${module}.${header[1]}`;
      parameters = null;
    } else if (name !== null && line.startsWith("  __parameters__ = [")) parameters = quotedWords(line);
    else if (name !== null && line.startsWith("  __buffers__ = [") && parameters !== null) {
      into.set(name, { parameters, buffers: quotedWords(line) });
    }
  }
}

/** One line after the other: a list of all would take many times the text. */
function* linesOf(text: string): Generator<string> {
  for (let begin = 0, end = 0; end >= 0 && begin <= text.length; begin = end + 1) {
    end = text.indexOf("\n", begin);
    yield text.slice(begin, end < 0 ? text.length : end);
    if (end < 0) return;
  }
}

function quotedWords(line: string): string[] {
  return [...line.matchAll(/"([^"\\]*)"/g)].map(([, word]) => word ?? "");
}

function* scriptedObjects(root: TreeValue): Generator<OpaqueValue> {
  const seen = new Set<TreeValue>();
  const pending: TreeValue[] = [root];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value === null || typeof value !== "object" || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof OpaqueValue) {
      pending.push(value.state);
      if (value.global.startsWith("__torch__.")) yield value;
    } else if (value instanceof TreeList) for (const element of value.elements) pending.push(element);
    else if (value instanceof TreeDict) for (const element of value.entries.values()) pending.push(element);
  }
}

/** Puts the attributes of one object in the order of a state dict; number of tensors left out. */
function arrange(object: OpaqueValue, { parameters, buffers }: Declaration): number {
  const { state } = object;
  if (!(state instanceof TreeDict)) return 0;
  const made = new TreeDict(state.type);
  for (const name of parameters) {
    const value = state.entries.get(name);
    if (value !== undefined) made.entries.set(name, value instanceof TensorRef ? value.with({ origin: "parameter" }) : value);
  }
  for (const name of buffers) {
    const value = state.entries.get(name);
    if (value !== undefined) made.entries.set(name, value);
  }
  let dropped = 0;
  for (const [key, value] of state.entries) {
    if (made.entries.has(key)) continue;
    if (value instanceof TensorRef || value instanceof SparseRef) dropped += 1;
    else made.entries.set(key, value);
  }
  object.state = made;
  return dropped;
}
