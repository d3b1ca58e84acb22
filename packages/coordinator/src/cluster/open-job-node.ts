/**
 * Finds out whether this node is the head, and where the head is otherwise.
 *
 * The head is node rank 0. Where ranks of nodes are given out at the rendezvous, it is the node that can bind the endpoint. Nodes that share
 * the head's machine (and user) find its address and token in a private directory; others need the endpoint, and the same token file.
 */
import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { setTimeout } from "node:timers/promises";
import { CheckpointError, compileLimits, DistributionError, UsageError } from "@rankcast/core";
import { startNodeBroadcast } from "../broadcast/node-broadcast.ts";
import { formatLinkAddress, isLoopback, type LinkKey, protectionOf } from "../link/link-key.ts";
import { HeadRole } from "./head-role.ts";
import { JobNode, type JobNodeOptions, type NodeRole } from "./job-node.ts";
import { MeetingPlace } from "./meeting-place.ts";
import { MemberRole } from "./member-role.ts";

/** Where the head is to be found. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** How to open a node. */
export interface OpenNodeOptions extends JobNodeOptions {
  /** Null: only nodes of this machine take part. */
  readonly endpoint: Endpoint | null;
  readonly isHead: "yes" | "no" | "whoever-binds";
  /** What tells this job's meeting place from others on this machine. */
  readonly meeting: readonly (string | number)[];
  readonly runtimeDirectory: string | undefined;
  /** Ends the search for the head. */
  readonly signal?: AbortSignal | undefined;
}

const RETRY_MS = 100;
/** Enough for a listener of this machine. */
const PROBE_MS = 1000;

/**
 * Opens the node; it has joined nothing yet.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the head cannot be bound or reached in time, RANKCAST_TOKEN_REFUSED,
 * RANKCAST_WRONG_JOB; {UsageError} RANKCAST_UNPROTECTED, RANKCAST_USAGE when the endpoint is no address that another node could dial.
 */
export async function openJobNode(options: OpenNodeOptions): Promise<JobNode> {
  requireReachable(options.endpoint);
  const place = new MeetingPlace(options.runtimeDirectory, options.meeting);
  if (options.isHead !== "no") {
    const head = await openHead(options, place);
    if (head) return head;
  }
  return openMember(options, place);
}

/** Other nodes would take "every address" for their own machine. */
function requireReachable(endpoint: Endpoint | null): void {
  if (endpoint === null || !/^(0\.0\.0\.0|0|::|(0{1,4}:){7}0{1,4})$/.test(endpoint.host)) return;
  throw new UsageError("RANKCAST_USAGE", `the endpoint of the rendezvous: expected node 0's address, found ${endpoint.host}`, {
    details: { endpoint: formatLinkAddress(endpoint.host, endpoint.port) },
    remedy: "Name the address, or the host, by which the other nodes reach node 0.",
  });
}

/** Null when somebody else is the head. */
async function openHead(options: OpenNodeOptions, place: MeetingPlace): Promise<JobNode | null> {
  const { key, endpoint } = options;
  const local = endpoint && (await localAddressOf(endpoint.host));
  if (options.isHead === "whoever-binds" && endpoint && local === null) return null;
  const outside = endpoint !== null && !isLoopback(local ?? endpoint.host) && canLeave(key, endpoint.host);
  // Without a secret that other machines could have, there are no other machines.
  const host = outside ? (local ?? "0.0.0.0") : isLoopback(local ?? "") ? (local ?? "127.0.0.1") : "127.0.0.1";
  const own = {
    ...options,
    nodeRank: options.nodeCount === null ? options.nodeRank : 0,
    key: { ...key, token: key.token || freshToken(key) },
  };
  let role: HeadRole | null = null;
  try {
    role = await HeadRole.open({
      options: own,
      listenHost: host,
      port: endpoint?.port ?? 0,
      reachableHost: outside ? endpoint.host : host,
      onOpen: (open) => {
        if (!open) place.clear();
        else if (role) place.leave({ address: role.headAddress, token: own.key.token });
      },
    });
  } catch (error) {
    if (!isTaken(error)) throw error;
    if (options.isHead === "whoever-binds") return null;
    return askForOurs(options, place, error);
  }
  place.leave({ address: role.headAddress, token: own.key.token });
  return withBroadcast(own, role);
}

/**
 * A node 0 that cannot listen: where a job of this name has a head on this machine already, that one says who it is when this one asks for the same
 * node rank.
 * @throws what kept it from listening, when there is no such head.
 */
async function askForOurs(options: OpenNodeOptions, place: MeetingPlace, taken: unknown): Promise<JobNode> {
  const { key, nodeCount, silenceMs, heartbeatMs } = options;
  const notice = place.read();
  // Where node ranks follow from ranks, a head that still waits might take this node for another.
  if (notice === null || nodeCount === null) throw taken;
  const way = { address: notice.address, key: { ...key, token: notice.token } };
  const role = await MemberRole.open({ ...way, silenceMs, heartbeatMs }).catch(() => {
    throw taken;
  });
  return withBroadcast({ ...options, nodeRank: 0, key: way.key }, role);
}

/** The node, with its data plane. */
async function withBroadcast(options: OpenNodeOptions, role: NodeRole): Promise<JobNode> {
  const { key, nodeRank, noMmap } = options;
  try {
    const listen = formatLinkAddress(role.listenHost, 0);
    const broadcast = await startNodeBroadcast({ nodeRank: nodeRank ?? 0, listen, key, noMmap, limits: compileLimits() });
    return new JobNode(options, role, broadcast);
  } catch (error) {
    await role.open({ hear: () => undefined, lose: () => undefined }).close();
    throw error;
  }
}

async function openMember(options: OpenNodeOptions, place: MeetingPlace): Promise<JobNode> {
  const { joinTimeoutMs, silenceMs, heartbeatMs } = options;
  const deadlineMs = performance.now() + joinTimeoutMs;
  let last: unknown = null;
  // A host of another machine will never leave a notice on this one: without a secret there is nothing to wait for.
  if (options.endpoint && !wayOutside(options) && (await isElsewhere(options.endpoint.host)))
    protectionOf(options.endpoint.host, options.key);
  for (;;) {
    // A notice can be left over from a head that was killed: failures with it are no verdict.
    const notice = place.read();
    const way = notice ? { address: notice.address, key: { ...options.key, token: notice.token } } : wayOutside(options);
    try {
      if (way) return await withBroadcast({ ...options, key: way.key }, await MemberRole.open({ ...way, silenceMs, heartbeatMs }));
    } catch (error) {
      last = error;
      if (!notice && !(error instanceof CheckpointError && error.code === "RANKCAST_COORDINATOR_UNREACHABLE")) throw error;
    }
    if (performance.now() > deadlineMs) throw await notFound(options, last);
    options.signal?.throwIfAborted();
    await setTimeout(RETRY_MS);
  }
}

/** The endpoint, when it can be anywhere but on this machine, or what proves this node is known; null: only a notice can help. */
function wayOutside({ endpoint, key }: OpenNodeOptions): { address: string; key: LinkKey } | null {
  if (endpoint === null || (key.token === "" && key.certificates === null && !canLeave(key, endpoint.host))) return null;
  return { address: formatLinkAddress(endpoint.host, endpoint.port), key };
}

async function notFound({ endpoint, joinTimeoutMs, key }: OpenNodeOptions, cause: unknown): Promise<CheckpointError> {
  const where = endpoint === null ? "on this machine" : `at ${formatLinkAddress(endpoint.host, endpoint.port)}`;
  const text = `the head node did not appear ${where} within ${joinTimeoutMs / 1000} s`;
  if (cause === null && endpoint !== null && !isLoopback(endpoint.host) && !canLeave(key, endpoint.host)) {
    return new UsageError("RANKCAST_UNPROTECTED", `${text}, and without a secret it is looked for on this machine only`, {
      details: { endpoint: where },
    });
  }
  const details = { endpoint: where, joinTimeoutMs };
  // Without a secret of its own a node finds the head by its notice, which is gone when nodes have begun to leave, and is another user's where it can not be read.
  if (cause === null && endpoint !== null && (await isTakenBySomebody(endpoint))) {
    return new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `${text}, although somebody listens there`, {
      details: { ...details, listens: true },
      remedy:
        "The job there is ending (end launchers of earlier runs), or it is another job's port, or it has a secret: then give this node the same RANKCAST_TOKEN_FILE.",
    });
  }
  return new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", text, {
    details,
    ...(cause === null ? {} : { cause }),
    remedy: "Start node 0, and check that --rdzv-endpoint (or RANKCAST_RDZV_ENDPOINT) is its address on every node.",
  });
}

function isTakenBySomebody({ host, port }: Endpoint): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: PROBE_MS });
    const finish = (listens: boolean): void => {
      socket.destroy();
      resolve(listens);
    };
    socket.once("connect", () => finish(true));
    for (const event of ["error", "timeout"]) socket.once(event, () => finish(false));
  });
}

function canLeave(key: LinkKey, host: string): boolean {
  try {
    protectionOf(host, key);
    return !isLoopback(host);
  } catch {
    return false;
  }
}

function freshToken({ certificates, insecure }: LinkKey): string {
  return certificates || insecure ? "" : randomBytes(32).toString("hex");
}

/** The address of this machine that `host` means; null when it means another machine, or nothing. */
async function localAddressOf(host: string): Promise<string | null> {
  if (isLoopback(host)) return host === "localhost" ? "127.0.0.1" : host;
  const own = new Set(
    Object.values(networkInterfaces())
      .flat()
      .map((each) => each?.address),
  );
  const addresses = await lookup(host, { all: true }).catch(() => []);
  return addresses.find(({ address }) => own.has(address) || isLoopback(address))?.address ?? null;
}

/** Whether `host` is another machine for sure. Names that mean nothing here (nodes of a test cluster) can be this one. */
async function isElsewhere(host: string): Promise<boolean> {
  if ((await localAddressOf(host)) !== null) return false;
  return lookup(host).then(
    () => true,
    () => false,
  );
}

function isTaken(error: unknown): boolean {
  return error instanceof CheckpointError && (error.cause as { code?: string } | undefined)?.code === "EADDRINUSE";
}
