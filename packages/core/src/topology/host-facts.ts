/** What a process can find out about its machine that no launcher variable says. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { availableParallelism, hostname } from "node:os";

/** Facts about this machine. Plain values, so that detection stays a pure function. */
export interface HostFacts {
  readonly hostname: string;
  /** CPUs this process may use. */
  readonly cpuCount: number;
  /** NVIDIA or AMD accelerators the kernel shows; 0 without a driver. */
  readonly acceleratorCount: number;
  /** Equal for processes of one machine boot and network namespace. Host names alone collide between containers. */
  readonly nodeKey: string;
}

/** Reads the facts; what the system does not tell (other platforms) falls back to the host name or 0. */
export function readHostFacts(): HostFacts {
  const name = hostname();
  const bootId = attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()) ?? name;
  const network = attempt(() => readlinkSync("/proc/self/ns/net")) ?? "";
  return { hostname: name, cpuCount: availableParallelism(), acceleratorCount: countAccelerators(), nodeKey: `${bootId} ${network}` };
}

function countAccelerators(): number {
  const nvidia = attempt(() => readdirSync("/proc/driver/nvidia/gpus").length) ?? 0;
  // One kfd topology node per processor; those of CPUs have no SIMD units and report gpu_id 0.
  const topology = "/sys/class/kfd/kfd/topology/nodes";
  const amd =
    attempt(() => readdirSync(topology).filter((node) => readFileSync(`${topology}/${node}/gpu_id`, "utf8").trim() !== "0").length) ?? 0;
  return nvidia > 0 ? nvidia : amd;
}

/** The result, or undefined when the system does not offer the file. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
