/** How many connections a link has. */
import type { HopCost } from "./broadcast-offer.ts";
import { FILL_SHARE, hopsToFill, SMALLEST_CHUNK } from "./choose-chunk-bytes.ts";

const MIB = 2 ** 20;
/** Bytes that are worth a connection: opening one costs round trips of two handshakes. */
const WORTH_BYTES = 32 * MIB;
/** A switch that spreads flows over paths, and a cloud that caps a flow, are met with a few; each more is one more window for the receiver to hold. */
const USUAL = 4;
const MOST = 8;
/** What one TCP connection has on its way at most with the default buffers of Linux (`net.ipv4.tcp_rmem`: 6 MiB, of which a part is bookkeeping). */
const WINDOW_BYTES = 4 * MIB;

/** What decides. */
export interface LinkTerms {
  readonly totalBytes: number;
  readonly nodeCount: number;
  /** Whether every node is on one machine: nothing between them shares or caps flows, and one event loop carries no more over several. */
  readonly oneMachine: boolean;
  readonly hop: HopCost;
}

/**
 * Connections per link: one on a machine and for what is small; a few between machines; more where one window does not fill the way. From 1 to 8. Where nothing caps
 * a flow the chunks of several connections share the link and each arrives later, which a chain pays at every hop: there are never more than keep that to a
 * twentieth of the transfer with the smallest chunks.
 */
export function chooseConnections({ totalBytes, nodeCount, oneMachine, hop }: LinkTerms): number {
  if (oneMachine) return 1;
  const windows = Math.ceil((hop.bytesPerSecond * hop.roundTripMs) / 1000 / WINDOW_BYTES);
  const wanted = Math.min(Math.max(USUAL, windows), MOST);
  const worth = Math.floor(totalBytes / WORTH_BYTES);
  const quick = Math.floor((FILL_SHARE * totalBytes) / (hopsToFill(nodeCount) * SMALLEST_CHUNK));
  return Math.max(1, Math.min(wanted, worth, quick));
}
