/** `rankcast doctor`: what this machine offers and what would be in the way. */
import { statfsSync } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";
import { describeError, detectRank, nativeMemory, readEnvironment, readHostFacts } from "@rankcast/core/runtime";
import type { Command } from "commander";
import { allVariables } from "../environment/environment.ts";
import { formatBytes } from "../terminal/format-bytes.ts";

/** One thing looked at. */
export interface DoctorFinding {
  readonly name: string;
  readonly status: "ok" | "note" | "problem";
  readonly found: string;
  /** What to do about it; absent when all is well. */
  readonly remedy?: string;
}

/** Adds the verb. */
export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .summary("Node, shared memory, limits, proxies, optional parts, detected launcher")
    .option("--json", "print one JSON document on stdout")
    .action((flags: { readonly json?: boolean }) => {
      const findings = examine();
      process.stdout.write(flags.json ? `${JSON.stringify({ findings })}\n` : render(findings));
      if (findings.some((finding) => finding.status === "problem")) process.exitCode = 1;
    });
}

/** Looks at everything; changes nothing. */
export function examine(): DoctorFinding[] {
  return [node(), memory(), sharedMemory(), mapping(), proxies(), launcher()];
}

function node(): DoctorFinding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const fine = major > 20 || (major === 20 && minor >= 19);
  const found = `Node ${process.versions.node} on ${process.platform} ${process.arch}, ${cpus().length} CPUs`;
  return fine ? { name: "node", status: "ok", found } : { name: "node", status: "problem", found, remedy: "Install Node 20.19 or newer." };
}

function memory(): DoctorFinding {
  return { name: "memory", status: "ok", found: `${formatBytes(freemem())} free of ${formatBytes(totalmem())}` };
}

function sharedMemory(): DoctorFinding {
  try {
    const { bavail, bsize, blocks } = statfsSync("/dev/shm");
    const found = `/dev/shm has ${formatBytes(bavail * bsize)} free of ${formatBytes(blocks * bsize)}`;
    if (bavail * bsize >= 2 ** 30) return { name: "shared memory", status: "ok", found };
    return {
      name: "shared memory",
      status: "note",
      found,
      remedy: "Containers default to 64 MiB: it matters only where memory cannot be mapped (see below).",
    };
  } catch {
    return { name: "shared memory", status: "note", found: "no /dev/shm", remedy: "The temporary directory is used instead." };
  }
}

function mapping(): DoctorFinding {
  const { noMmap } = readEnvironment();
  if (noMmap)
    return {
      name: "mapping",
      status: "note",
      found: "switched off by RANKCAST_NO_MMAP",
      remedy: "Unset it to share one copy of the weights per node.",
    };
  if (nativeMemory(false))
    return { name: "mapping", status: "ok", found: "koffi is installed: replicas map one copy of the weights copy-on-write" };
  return {
    name: "mapping",
    status: "note",
    found: "koffi is not installed for this platform",
    remedy: "Install koffi: without it every rank reads its own copy.",
  };
}

function proxies(): DoctorFinding {
  const names = [...readEnvironment().proxies.keys()];
  return { name: "proxies", status: "ok", found: names.length === 0 ? "none" : `set for ${names.join(", ")}` };
}

function launcher(): DoctorFinding {
  try {
    const detected = detectRank(allVariables(), readHostFacts());
    const { identity } = detected;
    const notes = detected.notes.length > 0 ? `; ${detected.notes.join("; ")}` : "";
    return {
      name: "launcher",
      status: "ok",
      found: `${detected.launcher}: rank ${identity.rank} of ${identity.worldSize}, local rank ${identity.localRank}${notes}`,
    };
  } catch (error) {
    const described = describeError(error);
    return { name: "launcher", status: "problem", found: described.message, remedy: described.remedy };
  }
}

function render(findings: readonly DoctorFinding[]): string {
  const width = Math.max(...findings.map((finding) => finding.name.length));
  const lines = findings.flatMap((finding) => [
    `${finding.status === "ok" ? "ok     " : finding.status === "note" ? "note   " : "PROBLEM"} ${finding.name.padEnd(width)}  ${finding.found}`,
    ...(finding.remedy ? [`${" ".repeat(width + 10)}${finding.remedy}`] : []),
  ]);
  return `${lines.join("\n")}\n`;
}
