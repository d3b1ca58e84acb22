/** Where a rank's two output streams go: to the launcher's own streams, to files, to the console with a prefix, or to events. */
import type { ChildProcess, IOType } from "node:child_process";
import { closeSync, createWriteStream, openSync, type WriteStream } from "node:fs";
import type { Readable, Writable } from "node:stream";
import type { LaunchEvent, LaunchedRank } from "./launch-event.ts";
import type { CompiledLaunchOptions, LaunchOptions } from "./launch-options.ts";
import { createLineSplitter } from "./line-splitter.ts";
import type { RankFiles } from "./log-tree.ts";
import { sharedConsole } from "./shared-console.ts";

type StreamName = "stdout" | "stderr";

/** How one stream is connected. */
interface StreamPlan {
  /** What `spawn` gets. */
  readonly stdio: IOType | number;
  /** Takes the bytes of a piped stream. */
  readonly sinks: readonly Sink[];
  /** Descriptor to close once the process has its own. */
  readonly descriptor?: number;
}

/** Takes bytes; answers false when it wants a pause until `drained`. */
interface Sink {
  write(bytes: Buffer): boolean;
  drained(resume: () => void): void;
  end(): Promise<void>;
}

/** The console and what is shown on it. */
export interface OutputOptions {
  readonly compiled: CompiledLaunchOptions;
  readonly output: NonNullable<LaunchOptions["output"]>;
  readonly emit: (event: LaunchEvent) => void;
  /** Template of the prefix of teed lines, torchrun's TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE. */
  readonly prefixTemplate: string | undefined;
  readonly isColoured: (stream: Writable) => boolean;
}

/** Streams of one rank, before and after its process is there. */
export interface RankOutput {
  readonly stdout: IOType | number;
  readonly stderr: IOType | number;
  /** Connects the process's pipes; resolves when both have ended and everything is written. */
  connect(child: ChildProcess, rank: LaunchedRank): Promise<void>;
  /** Gives up what `spawn` did not take. */
  discard(): void;
}

const COLOURS = [36, 33, 32, 35, 34, 31];

/** Plans both streams of a rank. */
export function planRankOutput(options: OutputOptions, files: RankFiles, localRank: number, rankNumber: number): RankOutput {
  const plans = {
    stdout: planStream(options, "stdout", files.stdout, localRank, rankNumber),
    stderr: planStream(options, "stderr", files.stderr, localRank, rankNumber),
  };
  const discard = () => {
    for (const { descriptor } of Object.values(plans)) if (descriptor !== undefined) closeSync(descriptor);
  };
  return {
    stdout: plans.stdout.stdio,
    stderr: plans.stderr.stdio,
    discard,
    connect: async (child, rank) => {
      discard();
      await Promise.all([
        pump(child.stdout, plans.stdout.sinks, options, "stdout", rank),
        pump(child.stderr, plans.stderr.sinks, options, "stderr", rank),
      ]);
    },
  };
}

function planStream(options: OutputOptions, name: StreamName, file: string, localRank: number, rank: number): StreamPlan {
  const { compiled, output } = options;
  const isShown = compiled.shown === null || compiled.shown.has(localRank);
  if (compiled.tee(localRank)[name]) {
    const console_ = isShown ? [prefixedSink(options, name, localRank, rank)] : [];
    return { stdio: "pipe", sinks: [fileSink(file), ...console_] };
  }
  if (compiled.redirects(localRank)[name]) {
    // The process writes the file itself: nothing is lost with the launcher, and nothing waits for it.
    const descriptor = openSync(file, "a", 0o644);
    return { stdio: descriptor, sinks: [], descriptor };
  }
  if (!isShown) return { stdio: "ignore", sinks: [] };
  if (output === "inherit") return { stdio: "inherit", sinks: [] };
  return { stdio: "pipe", sinks: output === "events" ? [] : [streamSink(output[name])] };
}

/** Moves bytes from the process to the sinks, no faster than the slowest of them; lines go to events when they were asked for. */
async function pump(
  source: Readable | null,
  sinks: readonly Sink[],
  { output, emit }: OutputOptions,
  stream: StreamName,
  rank: LaunchedRank,
): Promise<void> {
  if (source === null) return;
  const splitter = output === "events" ? createLineSplitter((line) => emit({ type: "output", rank, stream, line })) : null;
  source.on("data", (bytes: Buffer) => {
    splitter?.push(bytes);
    const full = sinks.filter((sink) => !sink.write(bytes));
    if (full.length === 0) return;
    source.pause();
    let left = full.length;
    for (const sink of full) {
      sink.drained(() => {
        left -= 1;
        if (left === 0) source.resume();
      });
    }
  });
  // 'close' comes after the end, after an error, and when the launcher destroys a pipe that something else still holds.
  await new Promise<void>((resolve) => {
    source.once("close", resolve);
    source.on("error", () => {});
  });
  splitter?.end();
  await Promise.all(sinks.map((sink) => sink.end()));
}

function fileSink(path: string): Sink {
  const file: WriteStream = createWriteStream(path, { flags: "a" });
  // A full disk must not end the job because of its logs; the rank goes on, and so does the console.
  let broken = false;
  file.on("error", () => {
    broken = true;
  });
  return {
    write: (bytes) => broken || file.write(bytes),
    drained: (resume) => {
      file.once("drain", resume);
      file.once("error", resume);
    },
    end: () =>
      new Promise((resolve) => {
        file.once("close", resolve);
        if (broken) resolve();
        else file.end();
      }),
  };
}

/** Bytes as they are, to a stream that other ranks write to as well. */
function streamSink(target: Writable): Sink {
  return { ...sharedConsole(target), end: async () => {} };
}

/** Whole lines with a prefix, as torchrun shows teed output. */
function prefixedSink(
  { compiled, output, prefixTemplate, isColoured }: OutputOptions,
  name: StreamName,
  localRank: number,
  rank: number,
): Sink {
  const target = typeof output === "object" ? output[name] : process[name];
  const values: Record<string, string> = { role_name: compiled.role, local_rank: String(localRank), rank: String(rank) };
  const text =
    prefixTemplate === undefined
      ? `[${compiled.role}${localRank}]:`
      : prefixTemplate.replace(/\$\{(role_name|local_rank|rank)\}/g, (_, placeholder: string) => values[placeholder] ?? "");
  const prefix = isColoured(target) ? `\u001b[${COLOURS[localRank % COLOURS.length]}m${text}\u001b[0m` : text;
  const shown = sharedConsole(target);
  let isFree = true;
  const splitter = createLineSplitter((line) => {
    isFree = shown.write(`${prefix}${line}\n`);
  });
  return {
    write: (bytes) => {
      isFree = true;
      splitter.push(bytes);
      return isFree;
    },
    drained: shown.drained,
    end: async () => splitter.end(),
  };
}
