/** Changes of JSON text token by token, so that most results are still JSON. */
import { EDGES, type FuzzRandom } from "./fuzz-random.ts";

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|[{}[\],:]|true|false|null|\s+|./gsu;
const TEXTS: readonly string[] = [
  ...['""', '"__proto__"', '"constructor"', '"__metadata__"', '"dtype"', '"shape"', '"data_offsets"', '"F32"', '"I64"', '"F4"', '"f32"'],
  ...['"C64"', '"../x"', '"/etc/x"', '"a\\\\b"', '"\\u0000"', '"\\ud800"', '"\\u00e9"', '"weight_map"', '"metadata"', '"total_size"'],
  ...['"model.safetensors"', '"weightsManifest"', '"paths"', '"weights"', '"quantization"', '"uint8"', '"string"', '"float16"'],
];
const LITERALS: readonly string[] = ["null", "true", "false", "[]", "{}", "-0", "1.0", "2e0", "1e400", "01", "NaN", "-1", "0.5"];

/** The tokens of a JSON text; their concatenation is the text. */
export function jsonTokens(text: string): string[] {
  return text.match(TOKEN) ?? [];
}

/** The text with one to four changes. */
export function mutateJson(tokens: readonly string[], random: FuzzRandom): string {
  const changed = [...tokens];
  for (let left = 1 + random.skewed(4); left > 0; left -= 1) if (changed.length > 0) changeOnce(changed, random);
  return changed.join("");
}

function changeOnce(tokens: string[], random: FuzzRandom): void {
  const at = random.below(tokens.length);
  const token = tokens[at] ?? "";
  const turn = random.below(10);
  if (turn === 0) tokens.splice(at, 1 + random.skewed(6));
  else if (turn === 1) tokens.splice(random.below(tokens.length), 0, ...tokens.slice(at, at + 1 + random.skewed(24)));
  else if (turn === 2) tokens.splice(at, 0, random.pick(["{", "}", "[", "]", ",", ":", " ", "\u0000", "\ufeff", "\n"]));
  else if (turn === 3 && random.oneIn(8)) tokens.splice(at, 1, "[".repeat(random.below(300)), token);
  else if (turn === 4) swap(tokens, at, random.below(tokens.length));
  else if (/^[-\d]/.test(token)) tokens[at] = random.oneIn(3) ? String(Number(token) + random.below(9) - 4) : String(random.pick(EDGES));
  else if (token.startsWith('"')) tokens[at] = random.oneIn(2) ? random.pick(TEXTS) : otherText(tokens, random, token);
  else tokens.splice(at, 1, random.pick(random.oneIn(2) ? LITERALS : TEXTS));
}

function swap(tokens: string[], a: number, b: number): void {
  const [first = "", second = ""] = [tokens[a], tokens[b]];
  tokens[a] = second;
  tokens[b] = first;
}

/** Another text of the same document (so that names become equal), or the same with a character more. */
function otherText(tokens: readonly string[], random: FuzzRandom, token: string): string {
  const start = random.below(tokens.length);
  const found = tokens.slice(start).find((each) => each.startsWith('"'));
  if (found !== undefined && !random.oneIn(4)) return found;
  return `${token.slice(0, -1)}${random.pick(["x", "\\n", "\\", "é", "\u0001", "\\u00", "/"])}"`;
}
