/**
 * Where storages go: torch's `map_location` for a runtime whose memory is host memory. The tag in the file is information only; without a
 * rule everything goes to the CPU.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type DeviceMemory, deviceOf, knownDevices } from "./device-registry.ts";
import { parseDeviceTag, TORCH_DEVICE_TYPES } from "./device-tag.ts";

/** What a rule may look at. */
export interface LocatedStorage {
  /** Device tag in the file: `cuda:2`. */
  readonly savedDevice: string;
  readonly nbytes: number;
}

/** A function of storage and tag; null or undefined leaves the default. Called exactly once per storage, in order. */
export type MapLocationFunction = (storage: LocatedStorage, tag: string) => string | null | undefined;

/**
 * One device for all storages; or a table from tags to devices, where `cuda:*` stands for every index and `*` for everything, exact tags
 * win and the longest pattern comes next; or a function.
 */
export type MapLocation = string | ReadonlyMap<string, string> | Readonly<Record<string, string>> | MapLocationFunction | null | undefined;

/** Where one storage goes. */
export interface StorageLocation {
  /** `cpu`, `meta`, `shared`, or a registered device, with its index where one was given. */
  readonly device: string;
  readonly memory: DeviceMemory;
}

/** A checked rule. */
export interface CompiledMapLocation {
  /** Whether it is known without looking at any storage that no bytes are needed (`meta`). */
  readonly headersOnly: boolean;
  /**
   * The location of each storage. A function in the rule is asked once per storage, however often a load has to look at its storages: for one that is at
   * the same place of the list, with the same tag and size, the answer is remembered.
   * @throws {UsageError} RANKCAST_MAP_LOCATION when the function answers with an unknown device or something else than a string.
   */
  locate(storages: readonly LocatedStorage[]): StorageLocation[];
}

const CPU: StorageLocation = Object.freeze({ device: "cpu", memory: "replica" });

/**
 * Checks a rule up front, devices included.
 * @throws {UsageError} RANKCAST_MAP_LOCATION for a wrong type or an unknown device; the message lists the known ones.
 */
export function compileMapLocation(spec: MapLocation): CompiledMapLocation {
  if (spec === null || spec === undefined) return fixed(CPU);
  if (typeof spec === "string") return fixed(resolveDevice(spec));
  if (typeof spec === "function") return { headersOnly: false, locate: askOnce(spec) };
  if (typeof spec === "object" && !Array.isArray(spec) && !ArrayBuffer.isView(spec)) return compileTable(spec);
  throw new UsageError("RANKCAST_MAP_LOCATION", `mapLocation must be a device, a table or a function, not ${typeName(spec)}`, {
    details: { option: "mapLocation" },
  });
}

function fixed(location: StorageLocation): CompiledMapLocation {
  return { headersOnly: location.memory === "none", locate: (storages) => storages.map(() => location) };
}

function askOnce(rule: MapLocationFunction): CompiledMapLocation["locate"] {
  const known: { readonly storage: LocatedStorage; readonly location: StorageLocation }[] = [];
  return (storages) =>
    storages.map((storage, index) => {
      const { savedDevice, nbytes } = storage;
      const before = known[index];
      if (before?.storage.savedDevice === savedDevice && before.storage.nbytes === nbytes) return before.location;
      const location = ask(rule, storage);
      known[index] = { storage: { savedDevice, nbytes }, location };
      return location;
    });
}

function ask(rule: MapLocationFunction, storage: LocatedStorage): StorageLocation {
  const answer: unknown = rule(storage, storage.savedDevice);
  if (answer === null || answer === undefined) return CPU;
  if (typeof answer === "string") return resolveDevice(answer);
  throw new UsageError("RANKCAST_MAP_LOCATION", `the mapLocation function must return a device or null, not ${typeName(answer)}`, {
    details: { option: "mapLocation", savedDevice: storage.savedDevice },
  });
}

function compileTable(table: ReadonlyMap<string, string> | Readonly<Record<string, string>>): CompiledMapLocation {
  const exact = new Map<string, StorageLocation>();
  const patterns: { readonly prefix: string; readonly location: StorageLocation }[] = [];
  for (const [tag, device] of table instanceof Map ? table : Object.entries(table)) {
    if (typeof tag !== "string" || typeof device !== "string") {
      throw new UsageError(
        "RANKCAST_MAP_LOCATION",
        `mapLocation must map tags to devices, not ${quote(String(tag))} to ${typeName(device)}`,
        {
          details: { option: "mapLocation" },
        },
      );
    }
    const location = resolveDevice(device);
    if (tag.endsWith("*")) patterns.push({ prefix: tag.slice(0, -1), location });
    else exact.set(tag, location);
  }
  patterns.sort((a, b) => b.prefix.length - a.prefix.length);
  const find = (tag: string): StorageLocation => exact.get(tag) ?? patterns.find(({ prefix }) => tag.startsWith(prefix))?.location ?? CPU;
  return { headersOnly: false, locate: (storages) => storages.map(({ savedDevice }) => find(savedDevice)) };
}

/** The location that a device text names. `cpu:N` is the CPU: host memory has no numbers. */
function resolveDevice(text: string): StorageLocation {
  const tag = parseDeviceTag(text);
  const device = tag === null ? undefined : deviceOf(tag.type);
  if (tag === null || device === undefined || (tag.index !== null && !device.indexed)) throw unknownDevice(text);
  return { device: device.name === "cpu" ? "cpu" : text, memory: device.memory };
}

/** torch's sentences, then what there is here (semantics E2). */
function unknownDevice(text: string): UsageError {
  const tag = parseDeviceTag(text);
  const known = knownDevices();
  const glued = /^([a-z]+)\d+$/.exec(text)?.[1];
  const reason =
    tag !== null && TORCH_DEVICE_TYPES.has(tag.type)
      ? `Attempting to deserialize object on a ${tag.type.toUpperCase()} device but there is none here`
      : glued !== undefined && TORCH_DEVICE_TYPES.has(glued)
        ? `Invalid device string: '${text}'`
        : `don't know how to restore data location of torch.storage.UntypedStorage (tagged with ${quote(text).slice(1, -1)})`;
  return new UsageError("RANKCAST_MAP_LOCATION", `${reason}; known devices: ${known.join(", ")}`, {
    details: { option: "mapLocation", device: text, known },
  });
}

function typeName(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}
