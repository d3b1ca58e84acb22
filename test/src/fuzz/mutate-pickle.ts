/** Changes of pickles that keep most of the stream readable: whole opcodes, their arguments, snippets of attacks. */
import { OPCODES } from "@rankcast/core/internal";
import { bytesOf, call, global, int, text, tuple, u32, u64 } from "../support/write-pickle.ts";
import { EDGES, type FuzzRandom } from "./fuzz-random.ts";
import { joined, mutateBytes } from "./mutate-bytes.ts";
import { OPCODE_BYTES, type TokenStream } from "./pickle-tokens.ts";

type Tokens = Uint8Array[];
type Change = (tokens: Tokens, random: FuzzRandom, dictionary: readonly Uint8Array[]) => void;

const NAMES: readonly Uint8Array[] = [
  ["os", "system"],
  ["builtins", "eval"],
  ["__builtin__", "getattr"],
  ["collections", "OrderedDict"],
  ["collections", "defaultdict"],
  ["torch", "FloatStorage"],
  ["torch", "BFloat16Storage"],
  ["torch.storage", "UntypedStorage"],
  ["torch.storage", "_load_from_bytes"],
  ["torch", "Size"],
  ["torch", "float16"],
  ["torch._utils", "_rebuild_tensor_v2"],
  ["torch._utils", "_rebuild_tensor_v3"],
  ["torch._utils", "_rebuild_parameter"],
  ["torch._utils", "_rebuild_qtensor"],
  ["torch._utils", "_rebuild_sparse_tensor"],
  ["torch._utils", "_rebuild_meta_tensor_no_storage"],
  ["torch._utils", "_rebuild_wrapper_subclass"],
  ["torch._tensor", "_rebuild_from_type_v2"],
  ["numpy", "dtype"],
  ["numpy", "ndarray"],
  ["numpy.core.multiarray", "_reconstruct"],
  ["numpy._core.multiarray", "scalar"],
  ["_codecs", "encode"],
  ["acme.unknown", "Thing"],
].map(([module, name]) => global(module ?? "", name ?? ""));

const SNIPPETS: readonly Uint8Array[] = [
  ...["0", "1", "2", "(", ")", "]", "}", "\x8f", "N", "\x88", "\x89", "a", "e", "s", "u", "t", "R", "b", "\x81", "\x85", "\x86"],
  ...["\x87", "Q", "\x91", "\x94", "d", "l", "o", ".", "))", "]]", "}(", "(t", "22\x86", "2\x85", "(2e", "Nb", "N\x85R"],
].map((each) => bytesOf(each));
const TEXTS: readonly string[] = [
  "",
  "storage",
  "cpu",
  "meta",
  "0",
  "__proto__",
  "state_dict",
  "_metadata",
  "\ud800",
  "é",
  "x".repeat(300),
];
const CALLS: readonly Uint8Array[] = [
  call("os", "system", text("true")),
  call("builtins", "eval", text("1")),
  call("collections", "OrderedDict"),
  call("_codecs", "encode", text("\u00ff"), text("latin1")),
  call("numpy", "dtype", text("f8"), "\x89", "\x88"),
  call("torch", "device", text("cuda"), int(0)),
  bytesOf(call("os", "system", text("true")), "0"),
];

function removeTokens(tokens: Tokens, random: FuzzRandom): void {
  tokens.splice(random.below(tokens.length), 1 + random.skewed(4));
}

function repeatTokens(tokens: Tokens, random: FuzzRandom): void {
  const begin = random.below(tokens.length);
  const run = tokens.slice(begin, begin + 1 + random.skewed(12));
  const times = random.oneIn(16) ? random.below(200) : 1;
  for (let time = 0; time < times; time += 1) tokens.splice(random.below(tokens.length + 1), 0, ...run);
}

function swapTokens(tokens: Tokens, random: FuzzRandom): void {
  const [a, b] = [random.below(tokens.length), random.below(tokens.length)];
  const first = tokens[a];
  const second = tokens[b];
  if (first && second) {
    tokens[a] = second;
    tokens[b] = first;
  }
}

function insertSnippet(tokens: Tokens, random: FuzzRandom, dictionary: readonly Uint8Array[]): void {
  const choices = random.pick([SNIPPETS, SNIPPETS, NAMES, CALLS, dictionary, dictionary]);
  const made = choices.length === 0 || random.oneIn(6) ? madeValue(random) : random.pick(choices);
  tokens.splice(random.below(tokens.length), random.below(2), made);
}

function madeValue(random: FuzzRandom): Uint8Array {
  const turn = random.below(6);
  if (turn === 0) return int(random.pick(EDGES));
  if (turn === 1) return int(-random.pick(EDGES));
  if (turn === 2) return text(random.pick(TEXTS));
  if (turn === 3) return tuple(int(random.below(5)), int(random.pick(EDGES)));
  if (turn === 4) return bytesOf(random.pick(OPCODE_BYTES));
  return bytesOf("\x8e", u64(3), "abc");
}

/** Another number, length, slot or text for one opcode. */
function changeArgument(tokens: Tokens, random: FuzzRandom, dictionary: readonly Uint8Array[]): void {
  const at = random.below(tokens.length);
  const token = tokens[at];
  const opcode = token?.[0] ?? 0;
  if (!token || token.length < 2) insertSnippet(tokens, random, dictionary);
  else if (NUMBERS.has(opcode)) tokens[at] = random.oneIn(2) ? int(random.pick(EDGES)) : int(random.below(300));
  else if (opcode === OPCODES.BINPUT || opcode === OPCODES.BINGET) tokens[at] = bytesOf(opcode, random.below(48));
  else if (opcode === OPCODES.LONG_BINPUT || opcode === OPCODES.LONG_BINGET) {
    tokens[at] = bytesOf(opcode, u32(random.oneIn(2) ? random.below(2000) : random.u32()));
  } else if (opcode === OPCODES.GLOBAL) tokens[at] = random.pick(NAMES);
  else if (opcode === OPCODES.BINUNICODE && random.oneIn(2)) tokens[at] = text(random.pick(TEXTS));
  else tokens[at] = mutateBytes(token, random, token);
}

const NUMBERS: ReadonlySet<number> = new Set([OPCODES.BININT, OPCODES.BININT1, OPCODES.BININT2, OPCODES.LONG1]);

function changeOpcode(tokens: Tokens, random: FuzzRandom): void {
  const at = random.below(tokens.length);
  const token = Uint8Array.from(tokens[at] ?? []);
  if (token.length > 0) token[0] = random.pick(OPCODE_BYTES);
  tokens[at] = token;
}

/** Frames make any other change of length a refusal; without them the change itself is met. */
function removeFrames(tokens: Tokens): void {
  for (let at = tokens.length - 1; at >= 0; at -= 1) if (tokens[at]?.[0] === OPCODES.FRAME) tokens.splice(at, 1);
}

function changeTail(tokens: Tokens, random: FuzzRandom): void {
  tokens.splice(random.below(tokens.length + 1), tokens.length, ...(random.oneIn(2) ? [bytesOf(".")] : []));
}

const CHANGES: readonly Change[] = [
  ...[removeTokens, repeatTokens, swapTokens, changeOpcode, changeTail],
  ...[insertSnippet, insertSnippet, insertSnippet, changeArgument, changeArgument, changeArgument, changeArgument],
];

/** The stream with one to four changes; `dictionary` holds opcodes of other pickles. */
export function mutatePickle({ tokens, tail }: TokenStream, random: FuzzRandom, dictionary: readonly Uint8Array[]): Uint8Array {
  const changed = [...tokens];
  if (!random.oneIn(6)) removeFrames(changed);
  for (let left = 1 + random.skewed(4); left > 0; left -= 1) {
    if (changed.length > 0) random.pick(CHANGES)(changed, random, dictionary);
  }
  const rest = tail.length > 0 && random.oneIn(4) ? mutateBytes(tail, random, tail) : tail;
  return joined(...changed, rest);
}
