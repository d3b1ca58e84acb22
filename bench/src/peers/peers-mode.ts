/** The ways of loading that are compared. */

/** Name of a way, as flags and results have it. */
export type PeersModeName =
  | "torch-each"
  | "torch-broadcast"
  | "torch-mmap"
  | "safetensors-copy"
  | "safetensors-mmap"
  | "node-plain"
  | "rankcast-adopt"
  | "rankcast-replicas"
  | "rankcast-first"
  | "rankcast-copy"
  | "memcpy"
  | "map-floor";

/** One way of loading. */
export interface PeersMode {
  readonly name: PeersModeName;
  /** What it does, for people. */
  readonly label: string;
  /** Whose program runs it. */
  readonly runner: "python" | "plain" | "rankcast" | "memcpy" | "floor";
  /** The mode's name in `torch_ranks.py`. */
  readonly python?: string;
  /** What the Python must be able to do beside torch. */
  readonly needs?: "mmap" | "safetensors";
  /** Which of the two files it reads; null when it reads none. */
  readonly reads: "pt" | "safetensors" | null;
  /** Checkpoints that are in memory at the peak, beside the file's own pages: what does not fit is not run. */
  readonly copies: (ranks: number) => number;
}

/** In the order in which tables show them; `memcpy` and `map-floor` are no ways of loading but the least that copying and mapping can cost. */
export const PEERS_MODES: readonly PeersMode[] = [
  {
    name: "torch-each",
    label: "torch.load + load_state_dict on every rank",
    runner: "python",
    python: "each",
    reads: "pt",
    copies: (ranks) => 2 * ranks,
  },
  {
    name: "torch-broadcast",
    label: "torch.load on rank 0 + gloo broadcast",
    runner: "python",
    python: "broadcast",
    reads: "pt",
    copies: (ranks) => ranks + 1,
  },
  {
    name: "torch-mmap",
    label: "torch mmap=True + assign=True",
    runner: "python",
    python: "mmap",
    needs: "mmap",
    reads: "pt",
    copies: () => 0,
  },
  {
    name: "safetensors-copy",
    label: "safetensors load_file + load_state_dict",
    runner: "python",
    python: "safetensors-copy",
    needs: "safetensors",
    reads: "safetensors",
    copies: (ranks) => ranks,
  },
  {
    name: "safetensors-mmap",
    label: "safetensors load_file, parameters replaced",
    runner: "python",
    python: "safetensors",
    needs: "safetensors",
    reads: "safetensors",
    copies: () => 0,
  },
  { name: "node-plain", label: "Node: every rank reads and copies", runner: "plain", reads: "pt", copies: (ranks) => 2 * ranks },
  { name: "rankcast-adopt", label: "rankcast, adopted", runner: "rankcast", reads: "pt", copies: () => 0 },
  { name: "rankcast-replicas", label: "rankcast, adopted, 2 replicas per rank", runner: "rankcast", reads: "pt", copies: () => 0 },
  { name: "rankcast-first", label: "rankcast, adopted, file never seen (CRC verified)", runner: "rankcast", reads: "pt", copies: () => 0 },
  { name: "rankcast-copy", label: "rankcast, copied", runner: "rankcast", reads: "pt", copies: (ranks) => ranks },
  { name: "memcpy", label: "one memcpy into fresh memory per rank", runner: "memcpy", reads: null, copies: (ranks) => ranks },
  { name: "map-floor", label: "C: map and touch, nothing else", runner: "floor", reads: "pt", copies: () => 0 },
];
