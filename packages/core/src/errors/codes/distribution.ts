/** Codes of ranks, replicas, coordinator and barrier. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of ranks, replicas, coordinator and barrier. */
export const DISTRIBUTION_CODES = {
  RANKCAST_DELTA: {
    class: "integrity",
    meaning: "The difference between two generations of weights that came from another node is damaged, or belongs to another generation.",
    remedy: "Report it: a node that gets such a difference is sent all bytes instead.",
  },
  RANKCAST_RANK_VARIABLES: {
    class: "usage",
    meaning: "The environment variables that say which rank this process is are incomplete or contradict each other.",
    remedy: "Start the ranks with one launcher (`rankcast run`, torchrun, srun, mpirun) and do not set its variables by hand.",
  },
  RANKCAST_TOPOLOGY: {
    class: "protocol",
    meaning: "The ranks that met do not form a whole job: one is missing, twice, or on two nodes.",
    remedy: "Start every rank exactly once; a rank left over from an earlier run must end first.",
  },
  RANKCAST_BARRIER_TIMEOUT: {
    class: "timeout",
    meaning: "Ranks did not reach a barrier in time and showed no progress on the way.",
    remedy: "Look at the output of the named ranks; if they are only slow, raise the timeout.",
  },
  RANKCAST_BARRIER_MISMATCH: {
    class: "protocol",
    meaning: "Ranks reached the same barrier with different intentions: other arguments, other participants, or one skipped a barrier.",
    remedy: "Make every rank call the same collective operations in the same order with the same arguments.",
  },
  RANKCAST_BARRIER_NAMES: {
    class: "limit",
    meaning: "The job used more than 4096 different barrier names.",
    remedy: "Use one name for one place in the code; uses of a name are counted for you.",
  },
  RANKCAST_BARRIER_BUSY: {
    class: "usage",
    meaning: "A rank called a barrier that it is already waiting at.",
    remedy: "Await the first call, or use two names.",
  },
  RANKCAST_RANK_FAILED: {
    class: "peer",
    meaning: "A rank failed with an error of its own and took it to the barrier, so that every rank fails alike.",
    remedy: "Correct the cause on the named rank.",
  },
  RANKCAST_RANK_LEFT: {
    class: "peer",
    meaning: "A rank closed its group although others still wait for it.",
    remedy: "Let every rank call the same collective operations before it closes the group.",
  },
  RANKCAST_FENCED: {
    class: "coordinator-lost",
    meaning: "The others gave this process up or replaced it, and went on without it.",
    remedy: "Let it end; it must not use what it loaded. The launcher starts a new process when restarts are left.",
  },
  RANKCAST_EPOCH_ENDED: {
    class: "peer",
    meaning: "The launcher restarted the job while this rank waited.",
    remedy: "Look at the launcher's output for the failure that made it restart.",
  },
  RANKCAST_NODES_MISSING: {
    class: "timeout",
    meaning: "Nodes of the job did not come to the rendezvous in time.",
    remedy: "Start the named nodes, check that they reach the head node's address and port, or raise the join timeout.",
  },
  RANKCAST_RANKS_MISSING: {
    class: "timeout",
    meaning: "Ranks of a node did not come to its coordinator in time.",
    remedy: "Look at the output of the named local ranks: the launcher has not started them, or they ended before they joined.",
  },
  RANKCAST_NODE_LOST: {
    class: "peer",
    meaning: "A node's launcher ended or fell silent while the job ran.",
    remedy: "Look at that node: its launcher's output, memory, and the network between it and the head node.",
  },
  RANKCAST_NODE_COUNT: {
    class: "usage",
    meaning: "Nodes were started with different ideas of how many there are.",
    remedy: "Give every node the same --nnodes, and each its own --node-rank below it.",
  },
  RANKCAST_DUPLICATE_NODE: {
    class: "peer",
    meaning: "Two launchers, or two jobs of the same id, claim the same node of one job.",
    remedy:
      "Give each node its own --node-rank, or none, and each job its own id (--rdzv-id); end a launcher that is left over from an earlier run.",
  },
  RANKCAST_JOB_FULL: {
    class: "peer",
    meaning: "A node came to a job whose nodes are all there, or that is over.",
    remedy: "Check --nnodes and --rdzv-id: the node may belong to another job.",
  },
  RANKCAST_WRONG_JOB: {
    class: "protocol",
    meaning: "Another job listens at the rendezvous address.",
    remedy: "Give each job its own port (--rdzv-endpoint) and id (--rdzv-id).",
  },
  RANKCAST_NODES_DIFFER: {
    class: "integrity",
    meaning: "Every node was to read the weights, or a part of them, for itself, and they are not the same everywhere.",
    remedy:
      "Put the same file on every node, or let one node fetch it for all of them (--fetch once-per-job, with --limit stripeBytesMin=1000000000000000 where a server gives nodes different files).",
  },
  RANKCAST_UNPROTECTED: {
    class: "usage",
    meaning:
      "Nodes of a job would talk over a network without encryption and without a secret that proves who they are, or one encrypts and the other does not.",
    remedy:
      "Give every node the same token file (RANKCAST_TOKEN_FILE) or certificates (RANKCAST_TLS_CERT, _KEY, _CA); only on a network that nobody else can reach: --insecure.",
  },
  RANKCAST_BROADCAST_OFFER: {
    class: "protocol",
    meaning: "A node announced a broadcast that cannot be carried out: counts out of range, or nodes that do not fit each other.",
    remedy: "Run the same version of rankcast on every node; if they are the same, report this as a defect.",
  },
  RANKCAST_BROADCAST_STALLED: {
    class: "timeout",
    meaning: "A node waited for the bytes of a broadcast and none came, from any node that has them.",
    remedy: "Look at the network between the named nodes, and at the nodes that were asked.",
  },
  RANKCAST_BROADCAST_CORRUPT: {
    class: "integrity",
    meaning: "Bytes of a broadcast came with a wrong checksum again and again.",
    remedy: "Check memory and network hardware of the named nodes.",
  },
  RANKCAST_RECEIVER_STALLED: {
    class: "timeout",
    meaning: "A node asked for the bytes of a broadcast and then stopped taking them.",
    remedy: "Look at the named node: it may be suspended, out of memory, or cut off.",
  },
  RANKCAST_INTERRUPTED: {
    class: "cancelled",
    meaning: "A signal ended the command; a launcher has ended its ranks before.",
    remedy: "Start the job again when you want the result.",
  },
  RANKCAST_LOG_DIR: {
    class: "disk-full",
    meaning: "The launcher cannot write where logs and error files should go.",
    remedy: "Check that the folder exists, is writable and has room, or choose another one with --log-dir.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
