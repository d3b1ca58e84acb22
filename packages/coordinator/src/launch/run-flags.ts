/**
 * The launcher's flags as one table: torchrun's names and meanings (`torch/distributed/run.py`), with its snake-case aliases and its
 * PET_* defaults. The command line makes its options from it, `compileLaunchOptions` its checks.
 */

/** Names of the options that a flag sets. */
export type RunFlagOption =
  | "nnodes"
  | "nprocPerNode"
  | "nodeRank"
  | "rdzvEndpoint"
  | "rdzvId"
  | "rdzvBackend"
  | "masterAddr"
  | "masterPort"
  | "standalone"
  | "maxRestarts"
  | "logDir"
  | "redirects"
  | "tee"
  | "localRanksFilter"
  | "role"
  | "noNode"
  | "signalsToHandle"
  | "graceSeconds"
  | "joinTimeout"
  | "nodeTimeout"
  | "linkConnections"
  | "insecure";

/** One flag. */
export interface RunFlag {
  /** Field of `LaunchOptions`. */
  readonly option: RunFlagOption;
  /** `--nproc-per-node`. */
  readonly flag: string;
  /** Other spellings, snake case first. */
  readonly aliases: readonly string[];
  /** `-r`. */
  readonly short?: string;
  /** What to show for its value; absent for switches. */
  readonly value?: string;
  /** The environment variable that gives the default. */
  readonly variable: string;
  /** The default as text. */
  readonly fallback: string;
  /** One line for `--help`. */
  readonly help: string;
}

function flag(
  option: RunFlagOption,
  help: string,
  more: { value?: string; short?: string; fallback?: string; also?: readonly string[] } = {},
): RunFlag {
  const words = option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const snake = words.replaceAll("-", "_");
  return {
    option,
    flag: `--${words}`,
    aliases: [...(snake === words ? [] : [`--${snake}`]), ...(more.also ?? [])],
    ...(more.short === undefined ? {} : { short: more.short }),
    ...(more.value === undefined ? {} : { value: more.value }),
    variable: `PET_${snake.toUpperCase()}`,
    fallback: more.fallback ?? "",
    help,
  };
}

/** All flags of `rankcast run`, in the order of `--help`. */
export const RUN_FLAGS: readonly RunFlag[] = [
  flag("nnodes", "number of nodes", { value: "N", fallback: "1" }),
  flag("nprocPerNode", "ranks on this node: a number, auto (one per accelerator, else per CPU), cpu or gpu", { value: "N", fallback: "1" }),
  flag("nodeRank", "rank of this node; assigned at the rendezvous when left out", { value: "N" }),
  flag("rdzvEndpoint", "where node 0 can be reached; port 29400 when left out", { value: "HOST[:PORT]" }),
  flag("rdzvId", "id of the job, the same on every node", { value: "ID" }),
  flag("rdzvBackend", "for torchrun command lines: static and c10d both mean rankcast's own rendezvous", {
    value: "NAME",
    fallback: "static",
  }),
  flag("masterAddr", "MASTER_ADDR of the ranks, and node 0's address without --rdzv-endpoint", { value: "HOST", fallback: "127.0.0.1" }),
  flag("masterPort", "MASTER_PORT of the ranks; 0 finds a free one", { value: "PORT", fallback: "29500" }),
  flag("standalone", "one node, nothing shared with other jobs: own id, free MASTER_PORT", { fallback: "0" }),
  flag("maxRestarts", "how often all ranks may be restarted after a failure", { value: "N", fallback: "0" }),
  flag("logDir", "keep output and error files below this folder", { value: "DIR" }),
  flag("redirects", "write output to files: 0 none, 1 stdout, 2 stderr, 3 both; or by local rank: 0:1,1:3", {
    value: "WHAT",
    short: "-r",
    fallback: "0",
  }),
  flag("tee", "like --redirects, and to the console too, with [role + local rank] before each line", {
    value: "WHAT",
    short: "-t",
    fallback: "0",
  }),
  flag("localRanksFilter", "show only these local ranks on the console: 0,2", { value: "RANKS" }),
  flag("role", "name of the ranks in prefixes and variables", { value: "NAME", fallback: "default" }),
  flag("noNode", "start the script itself instead of `node script`", { fallback: "0", also: ["--no-python", "--no_python"] }),
  flag("signalsToHandle", "signals that are passed on to the ranks", { value: "NAMES", fallback: "SIGTERM,SIGINT,SIGHUP,SIGQUIT" }),
  flag("graceSeconds", "seconds between SIGTERM and SIGKILL", { value: "S", fallback: "30" }),
  flag("joinTimeout", "seconds all nodes may take to come together", { value: "S", fallback: "300" }),
  flag("nodeTimeout", "seconds a node may be silent, or a process be stopped, before it is given up", { value: "S", fallback: "10" }),
  flag("linkConnections", "connections that tensor bytes take from node to node; planned when left out", { value: "N" }),
  flag("insecure", "let nodes talk over the network without encryption", { fallback: "0" }),
];
