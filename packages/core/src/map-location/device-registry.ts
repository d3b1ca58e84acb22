/** The devices that `mapLocation` may name. */

import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import { parseDeviceTag } from "./device-tag.ts";

/**
 * Which host memory a device's storages are bound to. `replica`: each replica has its own (copy on write where possible). `shared`: one
 * writable copy for all replicas of a process. `none`: no bytes are read.
 */
export type DeviceMemory = "replica" | "shared" | "none";

/** What is known about a device. */
export interface Device {
  readonly name: string;
  readonly memory: DeviceMemory;
  /** Whether `name:N` is accepted as well. */
  readonly indexed: boolean;
}

const DEVICES = new Map<string, Device>([
  ["cpu", { name: "cpu", memory: "replica", indexed: true }],
  ["meta", { name: "meta", memory: "none", indexed: false }],
  ["shared", { name: "shared", memory: "shared", indexed: false }],
]);

/**
 * Makes a device known, for adapters that move tensors on from host memory. Returns its disposer.
 * @throws {UsageError} RANKCAST_MAP_LOCATION when the name is no device type (`[a-z_][a-z0-9_]*`) or is taken and `force` is not set.
 */
export function registerDevice(
  name: string,
  options: { readonly memory?: DeviceMemory; readonly indexed?: boolean; readonly force?: boolean } = {},
): () => void {
  requireArgument("name", name, TEXT);
  const tag = parseDeviceTag(name);
  if (tag === null || tag.index !== null) {
    throw new UsageError("RANKCAST_MAP_LOCATION", `${quote(name)} is no name for a device: lower case letters, digits and underscores`, {
      details: { device: name },
    });
  }
  const before = DEVICES.get(name);
  if (before && !options.force) {
    throw new UsageError(
      "RANKCAST_MAP_LOCATION",
      `${name} is already registered as a device, add "force: true" if you want to override it`,
      {
        details: { device: name },
      },
    );
  }
  const device = { name, memory: options.memory ?? "replica", indexed: options.indexed ?? true };
  DEVICES.set(name, device);
  return () => {
    if (DEVICES.get(name) !== device) return;
    if (before) DEVICES.set(name, before);
    else DEVICES.delete(name);
  };
}

/** The device of a type, or undefined. */
export function deviceOf(type: string): Device | undefined {
  return DEVICES.get(type);
}

/** What may be named, for messages: `cpu`, `cpu:N`, `meta`, … */
export function knownDevices(): string[] {
  return [...DEVICES.values()].flatMap(({ name, indexed }) => (indexed ? [name, `${name}:N`] : [name]));
}
