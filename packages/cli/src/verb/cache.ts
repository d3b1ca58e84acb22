/** `rankcast cache ls|verify|rm|prune`: the download cache. */

import { type DownloadCache, openDownloadCache } from "@rankcast/core";
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes } from "../terminal/format-bytes.ts";
import { interruptible } from "../terminal/interruption.ts";

interface CacheFlags {
  readonly json?: boolean;
  readonly cacheDir?: string;
}

interface PruneFlags extends CacheFlags {
  readonly unusedForDays?: number;
  readonly maxSize?: number;
}

const DAY_MS = 86_400_000;
const UNIT_POWERS: ReadonlyMap<string, number> = new Map([
  ["", 0],
  ["K", 10],
  ["M", 20],
  ["G", 30],
  ["T", 40],
]);

/** Adds the verb. */
export function addCache(program: Command): void {
  const cache = program.command("cache").summary("the download cache: ls, verify, rm, prune");
  addShared(cache.command("ls").summary("what is in it, last used first")).action(async (flags: CacheFlags) =>
    interruptible(() => list(open(flags), flags)),
  );
  addShared(cache.command("verify").summary("hash every file again"))
    .option("--remove", "remove damaged files")
    .action(async (flags: CacheFlags & { readonly remove?: boolean }) => interruptible(() => verify(open(flags), flags)));
  addShared(cache.command("rm").argument("<what...>", "URL, beginning of a SHA-256, or path").summary("remove files")).action(
    async (what: readonly string[], flags: CacheFlags) => interruptible(() => remove(open(flags), what, flags)),
  );
  addShared(cache.command("prune").summary("remove left-overs, then what is old, then what is too much"))
    .addOption(new Option("--unused-for-days <days>", "remove what was not used for this long").argParser(positive))
    .addOption(new Option("--max-size <size>", "keep at most this much, 20G for example").argParser(parseSize))
    .action(async (flags: PruneFlags) => interruptible(() => prune(open(flags), flags)));
  for (const command of cache.commands) command.exitOverride();
}

function addShared(command: Command): Command {
  return command.option("--json", "print one JSON document on stdout").option("--cache-dir <directory>", "another cache directory");
}

function open({ cacheDir }: CacheFlags): DownloadCache {
  return openDownloadCache(cacheDir);
}

async function list(cache: DownloadCache, { json }: CacheFlags): Promise<void> {
  const cached = await cache.list();
  if (json)
    return print({
      directory: cache.directory,
      files: cached.map(({ entry, path, lastUsed, state }) => ({ ...entry, path, lastUsed, state })),
    });
  const lines = cached.map(
    ({ entry, lastUsed, state }) =>
      `${formatBytes(entry.sizeBytes).padStart(9)}  ${lastUsed.slice(0, 10)}  ${entry.sha256.slice(0, 12)}  ${entry.url}${state === "present" ? "" : `  (${state})`}`,
  );
  const total = cached.reduce((sum, { entry }) => sum + entry.sizeBytes, 0);
  process.stdout.write(`${[...lines, `${cached.length} files, ${formatBytes(total)} in ${cache.directory}`].join("\n")}\n`);
}

async function verify(cache: DownloadCache, { json, remove }: CacheFlags & { readonly remove?: boolean }): Promise<void> {
  const results = await cache.verify({
    remove: remove ?? false,
    onVerified: ({ state, url }) => void (json || process.stdout.write(`${state.padEnd(8)} ${url}\n`)),
  });
  if (json) print({ directory: cache.directory, files: results });
  if (results.some(({ state }) => state !== "ok")) process.exitCode = 1;
}

async function remove(cache: DownloadCache, what: readonly string[], { json }: CacheFlags): Promise<void> {
  const urls: string[] = [];
  let freedBytes = 0;
  for (const selector of what) {
    const removal = await cache.remove(selector);
    urls.push(...removal.urls);
    freedBytes += removal.freedBytes;
  }
  report({ urls, freedBytes }, json);
}

async function prune(cache: DownloadCache, { json, unusedForDays, maxSize }: PruneFlags): Promise<void> {
  const options = {
    ...(unusedForDays === undefined ? {} : { unusedForMs: unusedForDays * DAY_MS }),
    ...(maxSize === undefined ? {} : { maxBytes: maxSize }),
  };
  report(await cache.prune(options), json);
}

function report(removal: { readonly urls: readonly string[]; readonly freedBytes: number }, json: boolean | undefined): void {
  if (json) print(removal);
  else process.stdout.write(`${[...removal.urls.map((url) => `removed ${url}`), `${formatBytes(removal.freedBytes)} freed`].join("\n")}\n`);
}

function print(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("expected a number above 0.");
  return value;
}

function parseSize(text: string): number {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const power = UNIT_POWERS.get(unit.toUpperCase());
  if (digits === "" || power === undefined) throw new InvalidArgumentError("expected a size such as 500M or 20G.");
  return Math.floor(Number(digits) * 2 ** power);
}
