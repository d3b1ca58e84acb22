/** Codes of sessions between ranks and coordinator, and of replicas. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of sessions between ranks and coordinator, and of replicas. */
export const WORKER_CODES = {
  RANKCAST_COORDINATOR_LOST: {
    class: "coordinator-lost",
    meaning: "The connection to the node's coordinator ended while this rank still needed it.",
    remedy: "Look at the launcher's output for why it ended, then start the job again (`--max-restarts` does it for you).",
  },
  RANKCAST_COORDINATOR_UNREACHABLE: {
    class: "coordinator-lost",
    meaning: "The node's coordinator could not be reached.",
    remedy: "Check that the launcher or local rank 0 runs on this node and that RANKCAST_COORDINATOR and the token file are the job's own.",
  },
  RANKCAST_TOKEN_REFUSED: {
    class: "auth",
    meaning: "The coordinator does not know this job's token.",
    remedy: "Use the token file of the same job; a stale RANKCAST_TOKEN_FILE in the environment is the usual reason.",
  },
  RANKCAST_PROTOCOL: {
    class: "protocol",
    meaning: "A peer sent something the wire contract does not allow.",
    remedy: "Use the same version of rankcast in every process of a job.",
  },
  RANKCAST_RANK_LOST: {
    class: "peer",
    meaning: "A rank's process ended while others depended on it.",
    remedy: "Look at that rank's own output and exit code (out of memory and SIGKILL leave none).",
  },
  RANKCAST_RANK_ABORTED: {
    class: "peer",
    meaning: "A rank said that it cannot go on.",
    remedy: "Correct the cause on that rank.",
  },
  RANKCAST_DUPLICATE_RANK: {
    class: "peer",
    meaning: "Two processes claim the same rank of one job.",
    remedy: "Give each process its own RANK and LOCAL_RANK, and each job its own job id.",
  },
  RANKCAST_REPLICA_MODULE: {
    class: "worker",
    meaning: "The replica module could not be loaded or its createReplica failed.",
    remedy: "Correct the module named in the error; it must export createReplica(context).",
  },
  RANKCAST_REPLICA_FUNCTION: {
    class: "worker",
    meaning: "A function of the replica module is missing or threw.",
    remedy: "Correct the function named in the error.",
  },
  RANKCAST_REPLICA_CRASHED: {
    class: "worker",
    meaning: "A replica's thread ended unexpectedly.",
    remedy:
      "Look for process.exit, an error thrown in a timer or out of memory in the replica module; pool.restart(replica) brings the replica back.",
  },
  RANKCAST_REPLICA_DEADLINE: {
    class: "worker",
    meaning: "A replica took longer than it was given; its thread was ended and holds no replica any more.",
    remedy: "Look for an endless loop in the replica module, or raise timeoutMs; pool.restart(replica) brings the replica back.",
  },
  RANKCAST_REPLICA_UNKILLABLE: {
    class: "worker",
    meaning: "A replica took longer than it was given, and its thread cannot be ended: it waits inside a system call.",
    remedy:
      "Use asynchronous reads in the replica module (a hung network mount is the usual reason); the process ends in spite of the thread.",
  },
  RANKCAST_REPLICA_VALUE: {
    class: "worker",
    meaning: "A value cannot cross between a rank and the thread of its replica.",
    remedy: "Pass plain values, typed arrays, Maps, Tensors, StateDicts and errors; functions, promises and modules stay where they are.",
  },
  RANKCAST_REPLICA_QUEUE_FULL: {
    class: "worker",
    meaning: "More calls wait for one replica than its queue may hold.",
    remedy: "Await results before asking for more, spread the calls over replicas, or raise maxQueue.",
  },
  RANKCAST_REPLICA_NOT_RELOADABLE: {
    class: "worker",
    meaning: "The weights that a restarted replica should get are not at hand any more.",
    remedy: "Load a checkpoint into the pool again, or update all keys at once; after that, restarts work.",
  },
  RANKCAST_REPLICA_START_TIMEOUT: {
    class: "timeout",
    meaning: "A replica's thread did not start in time.",
    remedy: "Look for an endless loop or a hanging import in the replica module, or raise startTimeoutMs.",
  },
  RANKCAST_ADAPTER_PEER: {
    class: "usage",
    meaning: "An adapter was imported whose library is not installed: libraries of models are optional.",
    remedy: "Install the package named in the error, or leave the adapter out.",
  },
  RANKCAST_ADAPTER_LAYER: {
    class: "usage",
    meaning: "An adapter does not know how a weight of another library's model is called or ordered in torch.",
    remedy: "Say it with the adapter's options (`weights`, `layouts`, `inputs`).",
  },
  RANKCAST_SUBSCRIPTION: {
    class: "worker",
    meaning:
      "A subscription to published weights ended because a version did not fit the replicas or did not reach their node, or a replica ended.",
    remedy: "Publish state dicts with the names and shapes of the replicas, look at the cause, and subscribe again.",
  },
  RANKCAST_WATCH_INCOMPLETE: {
    class: "truncated",
    meaning: "A checkpoint that a watch would follow next is not whole and has not changed for a while: whoever wrote it may have died.",
    remedy: "Look at whoever writes it; remove the rest of it, or write it again. The watch goes on and takes it as soon as it is whole.",
  },
  RANKCAST_CLOSED: {
    class: "usage",
    meaning: "The group or pool is closed.",
    remedy: "Use it before close(), or join again.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
