/** What `rankcast doctor` looks at. */
import { readFileSync, statfsSync } from "node:fs";
import { cpus, freemem, totalmem } from "node:os";
import { readLinkKey } from "@rankcast/coordinator/internal";
import { describeError, detectRank, nativeMemory, prepareCrc32, readEnvironment, readHostFacts } from "@rankcast/core/runtime";
import { findHead, jobIdOf } from "@rankcast/worker/internal";
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

/** Looks at everything; changes nothing. */
export function examine(): DoctorFinding[] {
  return [node(), memory(), sharedMemory(), limits(), mapping(), checksums(), proxies(), launcher(), nodes(), secret()];
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

/** Ranks, replicas, downloads and links each hold a few files open. */
const OPEN_FILES_MIN = 1024;

function limits(): DoctorFinding {
  const name = "limits";
  const rows = readLimits();
  if (rows === null) return { name, status: "note", found: "not told by this system", remedy: "See `ulimit -a`." };
  const files = rows.get("Max open files") ?? "unlimited";
  const memory = rows.get("Max address space") ?? "unlimited";
  const found = `${files} open files, ${rows.get("Max processes") ?? "unlimited"} processes, address space ${memory}`;
  const remedies = [
    ...(Number(files) < OPEN_FILES_MIN ? [`Allow at least ${OPEN_FILES_MIN} open files (ulimit -n).`] : []),
    ...(memory === "unlimited" ? [] : ["Lift the limit of address space (ulimit -v): every replica maps all weights."]),
  ];
  return remedies.length === 0 ? { name, status: "ok", found } : { name, status: "note", found, remedy: remedies.join(" ") };
}

/** Soft limits by their name in the kernel's table; null elsewhere. */
function readLimits(): Map<string, string> | null {
  try {
    const lines = readFileSync("/proc/self/limits", "utf8").split("\n").slice(1);
    return new Map(
      lines.map((line) => [line.slice(0, LIMIT_NAME_CHARS).trim(), line.slice(LIMIT_NAME_CHARS).trim().split(/\s+/)[0] ?? ""]),
    );
  } catch {
    return null;
  }
}

/** Width of the first column of /proc/self/limits (Linux, fs/proc/base.c). */
const LIMIT_NAME_CHARS = 26;

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

function checksums(): DoctorFinding {
  const name = "checksums";
  if (prepareCrc32()) return { name, status: "ok", found: "@node-rs/crc32 is installed: CRC-32 is computed as fast as memory is read" };
  return {
    name,
    status: "note",
    found: "@node-rs/crc32 is not installed for this platform",
    remedy: "Install it: without it CRC-32 is computed by Node's zlib, up to four times slower.",
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

/** Other nodes, and where their head is looked for; what `joinGroup` would do in this environment. */
function nodes(): DoctorFinding {
  const name = "nodes";
  try {
    const variables = allVariables();
    const detected = detectRank(variables, readHostFacts());
    const { nodeCount, nodeRank, worldSize, localWorldSize } = detected.identity;
    if (nodeCount === 1 || worldSize === localWorldSize) return { name, status: "ok", found: "one" };
    const count = nodeCount === null ? `as many as ${worldSize} ranks need (${detected.launcher} does not tell)` : String(nodeCount);
    const jobId = jobIdOf(detected, variables);
    const head = findHead(detected, jobId, variables);
    const source = variables["RANKCAST_RDZV_ENDPOINT"] ? "RANKCAST_RDZV_ENDPOINT" : detected.launcher;
    const where = head ? `${head.host}:${head.port} (from ${source})` : "this machine only";
    const found = `${count}; this is node ${nodeRank ?? "?"} of job ${jobId}; the head is looked for at ${where}`;
    if (head) return { name, status: "ok", found };
    return {
      name,
      status: "note",
      found,
      remedy: "Set RANKCAST_RDZV_ENDPOINT to the host of rank 0 when nodes are on different machines.",
    };
  } catch (error) {
    const described = describeError(error);
    return { name, status: "problem", found: described.message, remedy: described.remedy };
  }
}

/** What would protect links between machines. */
function secret(): DoctorFinding {
  const name = "links";
  try {
    const { token, certificates, insecure } = readLinkKey(allVariables(), "");
    if (insecure)
      return { name, status: "note", found: "not encrypted: RANKCAST_INSECURE", remedy: "Unset it unless the network is yours alone." };
    if (certificates) return { name, status: "ok", found: "TLS with the certificates of RANKCAST_TLS_CERT" };
    if (token) return { name, status: "ok", found: "TLS with the token of RANKCAST_TOKEN_FILE as key" };
    return { name, status: "ok", found: "none: nodes of this machine only (RANKCAST_TOKEN_FILE is not set)" };
  } catch (error) {
    const described = describeError(error);
    return { name, status: "problem", found: described.message, remedy: described.remedy };
  }
}
