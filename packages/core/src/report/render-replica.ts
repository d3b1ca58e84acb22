/** One replica's result as a readable table. */
import { printable } from "../errors/quote.ts";
import { groupKeys } from "./group-keys.ts";
import { isClean, type LoadHints, type Mismatch, type MismatchReason, type ReplicaReport } from "./replica-report.ts";
import { ALL_KEYS_MATCHED } from "./torch-message.ts";

/** Rows of a table; the JSON has all of them. */
const ROWS_MAX = 60;
/** Characters of the key column; longer names push the rest of their row to the right. */
const KEY_COLUMN_MAX = 72;

interface Row {
  readonly status: string;
  readonly key: string;
  readonly checkpoint: string;
  readonly model: string;
}

/** What the two sides have. */
type Difference = Pick<Row, "checkpoint" | "model">;

/** Counts, then one row per group of keys with the same status and the same difference, then what to try next. */
export function renderReplica(replica: ReplicaReport): string {
  const rows = collectRows(replica);
  const lines = [countsOf(replica)];
  if (isClean(replica)) lines.push(ALL_KEYS_MATCHED);
  if (rows.length > 0) lines.push(...renderRows(rows));
  lines.push(...renderHints(replica));
  return lines.join("\n");
}

/** `ResNet: 318/320 keys loaded, 2 missing, 1 unexpected`. */
export function countsOf(replica: ReplicaReport): string {
  const counts: [number, string][] = [
    [replica.missing.length, "missing"],
    [replica.unexpected.length, "unexpected"],
    [replica.mismatched.length, "mismatched"],
    [replica.errors.length, replica.errors.length === 1 ? "error" : "errors"],
    [replica.casts.length, "cast"],
    [replica.renamed, "renamed"],
    [replica.ignored, "ignored"],
    [replica.defaulted.length, "defaulted"],
    [replica.tied.length, "tied"],
  ];
  const said = counts.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
  return `${printable(replica.model) || "model"}: ${replica.matched}/${replica.expected} keys loaded${said.join("")}`;
}

function collectRows(replica: ReplicaReport): Row[] {
  return [
    ...rowsOf("missing", replica.missing),
    ...rowsOf("unexpected", replica.unexpected),
    ...classesOf(replica.mismatched, differenceOf).flatMap(([difference, members]) =>
      groupKeys(members.map(({ key }) => key)).map(({ name }) => ({ status: "mismatch", key: name, ...difference })),
    ),
    ...replica.errors.map(({ message }) => ({ status: "error", key: message, checkpoint: "", model: "" })),
    ...classesOf(
      replica.casts.filter((cast) => cast.lossy !== false),
      (cast) => ({ checkpoint: cast.from, model: `${cast.to} (${cast.lossy})` }),
    ).flatMap(([difference, members]) =>
      groupKeys(members.map(({ key }) => key)).map(({ name }) => ({ status: "cast", key: name, ...difference })),
    ),
    ...classesOf(replica.ignoredKeys, ({ kind, rule }) => ({ checkpoint: kind, model: `allowed by ${printable(rule)}` })).flatMap(
      ([difference, members]) =>
        groupKeys(members.map(({ key }) => key)).map(({ name }) => ({ status: "ignored", key: name, ...difference })),
    ),
  ];
}

function rowsOf(status: string, keys: readonly string[]): Row[] {
  return groupKeys(keys).map(({ name }) => ({ status, key: name, checkpoint: "", model: "" }));
}

/** Members by equal difference, in order of first appearance: only what differs alike may share a row. */
function classesOf<T>(members: readonly T[], describe: (member: T) => Difference): [Difference, T[]][] {
  const classes = new Map<string, [Difference, T[]]>();
  for (const member of members) {
    const difference = describe(member);
    const name = JSON.stringify(difference);
    const known = classes.get(name);
    if (known) known[1].push(member);
    else classes.set(name, [difference, [member]]);
  }
  return [...classes.values()];
}

const IN_CHECKPOINT: Readonly<Partial<Record<MismatchReason, string>>> = { bytes: "no bytes", gradient: "no gradient for its type" };
const IN_MODEL: Readonly<Partial<Record<MismatchReason, string>>> = { overlap: "elements overlap", gradient: "requires gradient" };

function differenceOf({ reason = "shape", checkpoint, model, checkpointDtype, modelDtype }: Mismatch): Difference {
  const shape = (sizes: readonly number[]): string => `[${sizes.join(", ")}]`;
  return {
    checkpoint: checkpointDtype ?? IN_CHECKPOINT[reason] ?? shape(checkpoint),
    model: modelDtype ?? IN_MODEL[reason] ?? shape(model),
  };
}

function renderRows(rows: readonly Row[]): string[] {
  const shown = rows.slice(0, ROWS_MAX).map((row) => ({ ...row, key: printable(row.key) }));
  const head: Row = { status: "status", key: "key", checkpoint: "in checkpoint", model: "in model" };
  const width = (column: keyof Row): number =>
    Math.max(...[head, ...shown].map((row) => Math.min(row[column].length, column === "key" ? KEY_COLUMN_MAX : row[column].length)));
  const widths = { status: width("status"), key: width("key"), checkpoint: width("checkpoint") };
  const lines = [head, ...shown].map((row) =>
    `  ${row.status.padEnd(widths.status)}  ${row.key.padEnd(widths.key)}  ${row.checkpoint.padEnd(widths.checkpoint)}  ${row.model}`.trimEnd(),
  );
  if (rows.length > ROWS_MAX) lines.push(`  … and ${rows.length - ROWS_MAX} more rows (the JSON report has all)`);
  return lines;
}

function renderHints(replica: ReplicaReport): string[] {
  const { hints } = replica;
  const steps: string[] = [];
  if (hints?.prefixEdit) {
    const { gain } = hints.prefixEdit;
    steps.push(`${gain} more ${gain === 1 ? "key" : "keys"} would match with ${revKeyFlag(hints.prefixEdit)}`);
  }
  for (const { missing, unexpected } of hints?.nearMisses ?? []) {
    steps.push(
      `the checkpoint's ${JSON.stringify(printable(unexpected))} is spelled almost like the missing ${JSON.stringify(printable(missing))}`,
    );
  }
  if (replica.mismatched.some(({ reason }) => reason === "dtype")) {
    steps.push("values that would be cut are not cast: pass allowFloatToInt, or give the model a type that holds them");
  }
  return steps.length === 0 ? [] : ["Next steps:", ...steps.map((step) => `  - ${step}`)];
}

/** The edit as a flag to paste into a POSIX shell. */
export function revKeyFlag(edit: NonNullable<LoadHints["prefixEdit"]>): string {
  // The flag ends its pattern at the first arrow; a backslash before punctuation changes nothing in a pattern.
  const rule = printable(`${edit.pattern.replaceAll("=>", "=\\>")}=>${edit.replacement}`);
  return `--rev-key '${rule.replace(/'/g, "'\\''")}'`;
}
