/**
 * Every bound on untrusted input, in one record (law L9). All are overridable (`--limit NAME=VALUE`); an override is the caller's
 * statement that the input is trusted that far.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import { nearestNames } from "../errors/nearest-names.ts";
import { quote } from "../errors/quote.ts";
import { describeFound, OBJECT, requireArgument } from "../errors/require-options.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** The defaults. The comment beside each says why it is this number. */
export const DEFAULT_LIMITS = {
  /** The safetensors format's own cap. */
  safetensorsHeaderBytes: 100_000_000,
  /** The largest index in the wild is about 60 MB. */
  indexBytes: 256 * MIB,
  indexShards: 10_000,
  indexNameBytes: 4096,
  /** Nesting of JSON; real headers use 3, real indexes 2. */
  jsonDepth: 16,
  /** One text inside JSON: names are short, but metadata may hold whole documents. */
  jsonStringBytes: 64 * MIB,
  /** 500 000 tensors need about 70 MB of pickle. */
  pickleBytes: 256 * MIB,
  pickleStackValues: 1_000_000,
  pickleMarkDepth: 10_000,
  /**
   * Estimated heap of the values that are decoded of one checkpoint, pickles and tables of every other kind: a one-byte opcode can make a dict of 250
   * bytes. A tensor counts for about 1200.
   */
  pickleValueBytes: 2_000_000_000,
  /**
   * The same against the size of the files, so that a small one cannot take much: with what is listed (`treeHeapRatio`), reading takes at most twice
   * the files and 64 MiB. `pickleValueBytesFloor` is always allowed; the rest of the 64 MiB is the listing's and V8's young generation, which grows to
   * 32 MiB when much is kept.
   */
  pickleValueRatio: 1.5,
  pickleValueBytesFloor: 28 * MIB,
  /** Number keys of one dict in one hash bucket, above chance: engines hash numbers without a secret, so chosen ones collide. */
  collidingNumberKeys: 64,
  /** Containers inside containers when walking a decoded tree. */
  treeDepth: 1000,
  /** One str or bytes value inside a pickle. */
  pickleStringBytes: 64 * MIB,
  /** Digits of a Python int; random generators need 4 bytes. */
  pickleLongBytes: 1024,
  /** `torch.storage._load_from_bytes` inside `_load_from_bytes` ... */
  nestedStreams: 2,
  pickleGlobals: 10_000,
  pickleGlobalNameBytes: 512,
  persistentIds: 4_000_000,
  /** Elements of a tuple that is a dict key, those of tuples inside it counted too; unlimited tuples hash in exponential time. */
  keyTupleLength: 8,
  tensorRank: 64,
  tensors: 4_000_000,
  tensorNameBytes: 1 * MIB,
  /** All dotted names together; 500 000 tensors need about 50 MB. */
  treeNamesBytes: 256 * MIB,
  /** Estimated heap of walking a tree and listing what is in it, against the size of the files, beside what decoding left; always allowed is `treeHeapBytesFloor`. */
  treeHeapRatio: 0.5,
  treeHeapBytesFloor: 8 * MIB,
  /** Values listed again because a container that holds them occurs at several places; a small file can ask for 2^40. */
  treeRepeatedValues: 250_000,
  /** Values that modules keep beside their tensors, which every rank gets; recipes of 8-bit training have dozens per layer. */
  extraStateValues: 1_000_000,
  /** An encoded manifest on the wire; 500 000 tensors need about 50 MB. */
  manifestBytes: 512 * MIB,
  /** One tensor written out may be larger than its storage only this many times (strides of 0), or up to `materialisedBytesFloor`. */
  materialisedRatio: 4,
  materialisedBytesFloor: 64 * MIB,
  /** A sparse tensor written out. That happens only on request, so this refuses the absurd and no more. */
  densifiedBytes: 16 * GIB,
  zipEntries: 1_000_000,
  zipDirectoryBytes: 512 * MIB,
  zipNameBytes: 4096,
  /** DEFLATE itself ends at about 1032:1, and only zeros get there. Small records of zeros are common (biases), so these are let through. */
  inflateRatio: 1000,
  inflateRatioBytesFloor: 16 * MIB,
  /** All inflated bytes of a file against its size. */
  inflateTotalRatio: 16,
  inflateTotalBytesFloor: 64 * MIB,
  dcpMetadataBytes: 64 * MIB,
  dcpChunks: 1_000_000,
  npyHeaderBytes: 65_536,
  ggufEntries: 100_000,
  ggufStringBytes: 10 * MIB,
  /** Rules that rename keys; the longest list in use has 27. */
  revKeyRules: 1000,
  revKeyPatternCharacters: 4096,
  /** Steps of matching for one key and rule: about 100 ms. Ordinary ones need fewer than 1000. */
  revKeySteps: 4_000_000,
  /** One key and one rule that is a JavaScript RegExp, which can only be stopped by the clock. */
  revKeyMs: 150,
  /** All keys and all rules together. */
  revKeysMs: 10_000,
  /** A redirect chain longer than this is a loop. */
  redirects: 5,
  /** A server that sends no byte for this long is gone. */
  idleMs: 30_000,
  /** Parallel range requests; more than this brings nothing and annoys servers. */
  httpConnections: 8,
  /** One range request at first: large enough to hide a round trip, small enough to resume and to spread. A fast connection asks for up to 8 times as much. */
  httpRangeBytes: 16 * MIB,
  /** Tries without a single new byte before a request is given up. */
  httpAttempts: 5,
  /** All repeated requests of one file, however many bytes each brought. */
  httpRetries: 1000,
  /** First pause before a repeated request; doubles, with full jitter. */
  httpRetryMs: 250,
  /** Calls that wait for one replica: whoever asks for more does not look at results. */
  replicaQueueCalls: 10_000,
  /** Nesting of values that cross to a replica's thread and back. */
  replicaValueDepth: 1000,
  /** Loads and partial updates that are kept so that a replica can be restarted; an update of all keys makes it one again. */
  replicaReloadSteps: 16,
  /** What a replica copies ahead, while files arrive, for parameters that are written in place: it holds this much more until they are. */
  replicaAheadBytes: 2 * GIB,
  /** Bytes in flight between source and shared memory. */
  inFlightBytes: 256 * MIB,
  /** One mapped window; a Node 20 view may not exceed 4 GiB, and one storage must fit a window. */
  windowBytes: 2 * GIB,
  /** One chunk between nodes: a wrong one costs this much again, and a receiver's sender may have one more of it on the way. */
  broadcastChunkBytes: 16 * MIB,
  /** Chunks of one broadcast; 4 TiB in chunks of 4 MiB. */
  broadcastChunks: 2 ** 20,
  /** Bytes on their way to one receiver: enough for 10 Gbit/s over 25 ms. */
  broadcastCreditBytes: 32 * MIB,
  /** Connections of one link between nodes; each holds a socket and a window of the kernel at both ends. */
  broadcastConnections: 16,
  /** A receiver that takes nothing for this long is given up. */
  broadcastStallMs: 10_000,
  /** A node that gets no byte of a broadcast for this long gives up; longer than an origin may be silent. */
  broadcastSilenceMs: 60_000,
  /** Files from this size on are read in stripes, a part by every node of a job. A stripe has 16 MiB, and two or three of them are no gain. */
  stripeBytesMin: 64 * MIB,
} as const;

/** Name of a limit. */
export type LimitName = keyof typeof DEFAULT_LIMITS;
/** A full set of limits. */
export type Limits = { readonly [name in LimitName]: number };

/**
 * The defaults with overrides applied.
 * @throws {UsageError} RANKCAST_USAGE for an unknown name, with the nearest known ones, or a value that is no positive number.
 */
export function compileLimits(overrides: Partial<Record<string, number>> = {}): Limits {
  requireArgument("limits", overrides, OBJECT);
  const limits: Record<string, number> = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(overrides)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) throw unknownLimit(name);
    if (typeof value !== "number" || !(value > 0)) {
      throw new UsageError("RANKCAST_USAGE", `limit ${name} must be a number above 0, not ${describeFound(value)}`, {
        details: { option: "limit", name },
      });
    }
    limits[name] = value;
  }
  return limits as Limits;
}

function unknownLimit(name: string): UsageError {
  const known = Object.keys(DEFAULT_LIMITS);
  const nearest = nearestNames(name, known);
  return new UsageError("RANKCAST_USAGE", `unknown limit ${quote(name)}`, {
    details: { option: "limit", name, known, nearest },
    remedy: nearest.length > 0 ? `Did you mean ${nearest.join(" or ")}?` : `Known limits: ${known.join(", ")}.`,
  });
}
