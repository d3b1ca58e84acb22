/** Python literals of expected.json as the plain values a listing gives. */

/** The value of a `repr` of a simple Python value; text that has no JSON form stays text. */
export function pythonValue(text: string): string | number | boolean | null {
  if (text === "None") return null;
  if (text === "True" || text === "False") return text === "True";
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(Number(text)) ? Number(text) : text;
  if (/^-?(\d+\.?\d*([eE][-+]?\d+)?|inf)$/.test(text) || text === "nan") return Number(text.replace("inf", "Infinity"));
  const quoted = /^(['"])(.*)\1$/s.exec(text);
  return quoted ? unescapeText(quoted[2] ?? "") : text;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

function unescapeText(body: string): string {
  return body.replace(/\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)/gs, (_, code: string) => {
    if (/^[xuU]./.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    return ESCAPES.get(code) ?? code;
  });
}
