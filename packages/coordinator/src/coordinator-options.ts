/** Options of `startCoordinator`: what callers may say, and the checked form it works with. */
import { randomBytes } from "node:crypto";
import { type FetchOptions, UsageError } from "@rankcast/core";
import {
  DURATION_MS,
  FLAG,
  FUNCTION,
  OBJECT,
  type OptionShape,
  type OptionShapes,
  PORT,
  type ProcessVariables,
  quote,
  requireArgument,
  requireOptions,
  TEXT,
  wholeNumber,
} from "@rankcast/core/runtime";
import type { Endpoint } from "./cluster/open-job-node.ts";
import { type LinkKey, parseLinkAddress } from "./link/link-key.ts";
import { readCertificates } from "./link/read-certificates.ts";
import { readLinkKey } from "./link/read-link-key.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";

/** The ranks of a job. */
export interface CoordinatorTopology {
  /** On all nodes. */
  readonly worldSize: number;
  /** Default 1. */
  readonly nodes?: number;
  /** This node; needed where there are several. Node 0 decides for all. */
  readonly nodeRank?: number;
  /** Ranks of this node. Default: as many as on every other. */
  readonly localWorldSize?: number;
}

/** What a node shows others, and knows them by: PEM, with Node's names. Any certificate that `ca` has signed is a node of the job. */
export interface CoordinatorTls {
  readonly cert: string | Uint8Array;
  /** Without a passphrase. */
  readonly key: string | Uint8Array;
  readonly ca: string | Uint8Array;
}

/** How to start a coordinator. */
export interface CoordinatorOptions {
  /** Ranks of the job. */
  readonly worldSize?: number;
  /** The same, and how they are spread over nodes. */
  readonly topology?: CoordinatorTopology;
  /** Equal for all processes of the job. Default: random; with several nodes `job`, which is enough for one job per endpoint. */
  readonly jobId?: string;
  /** Version of the membership; grows when the job restarts. Default 0. */
  readonly epoch?: number;
  /**
   * Where to listen: `unix:/absolute/path` for the ranks of this node (default: a socket in a fresh 0700 directory), or `HOST:PORT` for the other
   * nodes, which is `rdzvEndpoint`.
   */
  readonly bind?: string;
  /** Where the ranks of this node find it, `unix:/absolute/path`. */
  readonly address?: string;
  /** `HOST:PORT` by which other nodes reach node 0, equal on all nodes; port 0 on node 0 finds a free one. Left out: all nodes are on this machine. */
  readonly rdzvEndpoint?: string;
  /** The job's secret. Default: 32 random bytes; with several nodes what `RANKCAST_TOKEN_FILE` holds, and this user's nodes on one machine need none. */
  readonly token?: string;
  /** Certificates for the connections between nodes, which prove who is there and encrypt. Default: the files of `RANKCAST_TLS_CERT`, `_KEY` and `_CA`. */
  readonly tls?: CoordinatorTls;
  /** The network between the nodes is theirs alone: nothing is encrypted, token and certificates may be left out. Default false. */
  readonly insecure?: boolean;
  /** What loads fetch with unless ranks say otherwise: headers, tables, `offline`, ... */
  readonly fetch?: FetchOptions;
  /** Limits of loads; those that ranks name win. */
  readonly limits?: FetchOptions["limits"];
  /** Where downloads are kept unless ranks say otherwise. */
  readonly cacheDir?: string;
  /** How long a missing rank may show no progress at a barrier. Default 600 000: ten minutes of silence are a hang, slow disks still show progress. */
  readonly barrierTimeoutMs?: number;
  /** How long the nodes may take to come together, and at the end wait for each other. Default 300 000. */
  readonly joinTimeoutMs?: number;
  /** How long a rank's process may be stopped (SIGSTOP), or another node be silent, before it is given up. Default 10 000. */
  readonly stoppedTimeoutMs?: number;
  readonly onEvent?: (event: CoordinatorEvent) => void;
  /** Serve Prometheus metrics on this port of 127.0.0.1; 0 finds a free one. Default: none. */
  readonly metricsPort?: number;
}

/** Which node of several this is. */
export interface NodePlace {
  readonly nodeCount: number;
  readonly nodeRank: number;
  readonly key: LinkKey;
  /** Null: all nodes are on this machine. */
  readonly endpoint: Endpoint | null;
}

/** Checked options; what is not here is as it was given. */
export interface CompiledCoordinatorOptions {
  readonly jobId: string;
  readonly epoch: number;
  readonly worldSize: number;
  readonly localWorldSize: number;
  /** For this node's ranks; null: to be made up. */
  readonly address: string | null;
  /** What this node's ranks show. */
  readonly token: string;
  /** Null: the job has one node. */
  readonly place: NodePlace | null;
}

/** More ranks than any job has; a typing error is more likely. */
const WORLD_SIZE_MAX = 2 ** 20;
const NODES_MAX = 65_536;
const TOKEN_BYTES = 32;
const PEM: OptionShape = {
  expected: "PEM text, as a string or bytes",
  fits: (value) => typeof value === "string" || value instanceof Uint8Array,
};
const SHAPES: OptionShapes = new Map([
  ["worldSize", wholeNumber(1, WORLD_SIZE_MAX)],
  ["topology", OBJECT],
  ["jobId", TEXT],
  ["epoch", wholeNumber(0, Number.MAX_SAFE_INTEGER)],
  ["bind", TEXT],
  ["address", TEXT],
  ["rdzvEndpoint", TEXT],
  ["token", TEXT],
  ["tls", OBJECT],
  ["insecure", FLAG],
  ["fetch", OBJECT],
  ["limits", OBJECT],
  ["cacheDir", TEXT],
  ["barrierTimeoutMs", DURATION_MS],
  ["joinTimeoutMs", DURATION_MS],
  ["stoppedTimeoutMs", DURATION_MS],
  ["onEvent", FUNCTION],
  ["metricsPort", PORT],
]);
const TOPOLOGY_SHAPES: OptionShapes = new Map([
  ["worldSize", wholeNumber(1, WORLD_SIZE_MAX)],
  ["nodes", wholeNumber(1, NODES_MAX)],
  ["nodeRank", wholeNumber(0, NODES_MAX - 1)],
  ["localWorldSize", wholeNumber(1, WORLD_SIZE_MAX)],
]);

/**
 * Checks and completes them.
 * @throws {UsageError} RANKCAST_USAGE naming the option that is wrong, or missing for a job of several nodes.
 */
export function compileCoordinatorOptions(options: CoordinatorOptions, variables: ProcessVariables): CompiledCoordinatorOptions {
  requireOptions(options, SHAPES);
  const { topology = {}, epoch = 0 } = options;
  requireOptions(topology, TOPOLOGY_SHAPES);
  const { nodes: nodeCount = 1, worldSize = options.worldSize } = topology as Partial<CoordinatorTopology>;
  requireArgument("worldSize", worldSize, wholeNumber(nodeCount, WORLD_SIZE_MAX));
  const ranks = Number(worldSize);
  const address = addressOf(options);
  const certificates = certificatesOf(options.tls);
  const secret = (): string => options.token ?? randomBytes(TOKEN_BYTES).toString("hex");
  if (nodeCount === 1) {
    requireOneNode(options);
    const { jobId = randomBytes(8).toString("hex") } = options;
    return { jobId, epoch, worldSize: ranks, localWorldSize: ranks, address, token: secret(), place: null };
  }
  const endpoint = endpointOf(options);
  const { jobId = "job" } = options;
  if (endpoint === null && options.jobId === undefined) {
    throw wrong("rdzvEndpoint", "HOST:PORT of node 0, or a jobId by which the nodes of this machine find each other", "neither");
  }
  const known = readLinkKey(variables, jobId, options.insecure);
  const key: LinkKey = { ...known, token: options.token ?? known.token, certificates: certificates ?? known.certificates };
  const place: NodePlace = { nodeCount, nodeRank: nodeRankOf(options.topology, nodeCount), key, endpoint };
  const localWorldSize = localWorldSizeOf(options.topology, ranks, nodeCount);
  return { jobId, epoch, worldSize: ranks, localWorldSize, address, token: secret(), place };
}

/** Where ranks come in: only on this machine, through a file that only its user can open. */
function addressOf({ address, bind }: CoordinatorOptions): string | null {
  const local = address ?? (bind?.startsWith("unix:") ? bind : undefined);
  if (local === undefined) return null;
  if (local.startsWith("unix:/")) return local;
  throw wrong(address === undefined ? "bind" : "address", "unix:/absolute/path", quote(local));
}

function endpointOf({ rdzvEndpoint, bind }: CoordinatorOptions): Endpoint | null {
  const asked = rdzvEndpoint ?? (bind?.startsWith("unix:") ? undefined : bind);
  if (asked === undefined) return null;
  const where = parseLinkAddress(asked);
  if (where.type === "tcp") return { host: where.host, port: where.port };
  throw wrong("rdzvEndpoint", "HOST:PORT", quote(asked));
}

/** One node's ranks use no network: whoever names an address of one means another job. */
function requireOneNode(options: CoordinatorOptions): void {
  const endpoint = endpointOf(options);
  if (endpoint === null) return;
  throw new UsageError(
    "RANKCAST_USAGE",
    `the ranks of one node find their coordinator at unix:/absolute/path, not at ${quote(endpoint.host)}`,
    {
      details: { option: options.rdzvEndpoint === undefined ? "bind" : "rdzvEndpoint" },
      remedy: "Say how many nodes there are (topology.nodes and nodeRank), or leave the address out.",
    },
  );
}

function nodeRankOf(topology: CoordinatorTopology | undefined, nodeCount: number): number {
  const { nodeRank } = topology ?? {};
  requireArgument("topology.nodeRank", nodeRank, wholeNumber(0, nodeCount - 1));
  return Number(nodeRank);
}

function localWorldSizeOf(topology: CoordinatorTopology | undefined, worldSize: number, nodeCount: number): number {
  const each = topology?.localWorldSize ?? worldSize / nodeCount;
  // Every other node has a rank at least.
  requireArgument("topology.localWorldSize", each, wholeNumber(1, worldSize - nodeCount + 1));
  return each;
}

function certificatesOf(tls: CoordinatorTls | undefined): LinkKey["certificates"] {
  if (tls === undefined) return null;
  for (const part of ["cert", "key", "ca"] as const) requireArgument(`tls.${part}`, tls[part], PEM);
  const { cert, key, ca } = tls;
  const read = { certificate: Buffer.from(cert), key: Buffer.from(key), authority: Buffer.from(ca) };
  return readCertificates(read, { certificate: "tls.cert", key: "tls.key", authority: "tls.ca" });
}

function wrong(option: string, expected: string, found: string): UsageError {
  return new UsageError("RANKCAST_USAGE", `${option}: expected ${expected}, found ${found}`, { details: { option, expected, found } });
}
