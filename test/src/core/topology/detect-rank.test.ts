/** Every launcher's variables, as recorded, and every way to get them wrong. */
import { type DetectedRank, detectRank, type HostFacts, type LauncherName, requireIdentity } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { recorded, type Variables } from "./recorded-environments.ts";

const FACTS: HostFacts = { hostname: "worker-3.train.ns.svc", cpuCount: 16, acceleratorCount: 0, nodeKey: "boot net" };

type Numbers = readonly [
  rank: number,
  localRank: number,
  nodeRank: number | null,
  worldSize: number,
  localWorldSize: number | null,
  nodes: number | null,
];

interface Row {
  readonly title: string;
  readonly env: Variables;
  readonly launcher: LauncherName;
  readonly numbers: Numbers;
  readonly more?: Partial<DetectedRank>;
  readonly note?: RegExp;
}

const TORCH = { RANK: "3", WORLD_SIZE: "8", LOCAL_RANK: "1", LOCAL_WORLD_SIZE: "2" };

const ROWS: readonly Row[] = [
  {
    title: "nothing set",
    env: {},
    launcher: "single",
    numbers: [0, 0, 0, 1, 1, 1],
    more: { nodeName: FACTS.hostname, jobId: null, head: null },
  },
  {
    title: "empty values",
    env: { RANK: "", WORLD_SIZE: "", SLURM_STEP_ID: "", OMPI_COMM_WORLD_RANK: "" },
    launcher: "single",
    numbers: [0, 0, 0, 1, 1, 1],
  },
  {
    title: "torchrun",
    env: recorded("TORCHRUN_RANK_1_OF_3"),
    launcher: "torchrun",
    numbers: [1, 1, 0, 3, 3, 1],
    more: { restartCount: 1, jobId: null, head: { host: "127.0.0.1", port: 29500, occupied: true } },
  },
  {
    title: "torchrun on four nodes",
    env: { ...TORCH, GROUP_RANK: "1", GROUP_WORLD_SIZE: "4", TORCHELASTIC_RUN_ID: "job7", MASTER_ADDR: "[fd00::1]", MASTER_PORT: "0" },
    launcher: "torchrun",
    numbers: [3, 1, 1, 8, 2, 4],
    more: { jobId: "job7", head: { host: "fd00::1", port: 0, occupied: false } },
  },
  { title: "torch's variables without the nodes", env: TORCH, launcher: "torchrun", numbers: [3, 1, 1, 8, 2, 4] },
  {
    title: "torch's variables without LOCAL_WORLD_SIZE",
    env: { RANK: "3", WORLD_SIZE: "8", LOCAL_RANK: "1" },
    launcher: "torchrun",
    numbers: [3, 1, null, 8, null, null],
  },
  {
    title: "torchrun inside a Slurm step",
    env: { ...recorded("SLURM_TASK_5_OF_7"), ...TORCH },
    launcher: "torchrun",
    numbers: [3, 1, 1, 8, 2, 4],
    note: /win over/,
  },
  {
    title: "torch's variables exported from Slurm's",
    env: { ...recorded("SLURM_TASK_5_OF_7"), RANK: "5", WORLD_SIZE: "7", LOCAL_RANK: "1" },
    launcher: "torchrun",
    numbers: [5, 1, 1, 7, 2, 3],
    more: { nodeName: "n1", jobId: "2.0", head: { host: "n0", port: null, occupied: false } },
  },
  {
    title: "a Slurm step with uneven nodes",
    env: recorded("SLURM_TASK_5_OF_7"),
    launcher: "slurm",
    numbers: [5, 1, 1, 7, 2, 3],
    more: { nodeName: "n1", nodeKey: "slurm 2 1", jobId: "2.0", head: { host: "n0", port: null, occupied: false } },
  },
  {
    title: "a Slurm step with cyclic placement",
    env: recorded("SLURM_CYCLIC_TASK_2_OF_4"),
    launcher: "slurm",
    numbers: [2, 1, 0, 4, 3, 2],
  },
  {
    title: "the batch script itself",
    env: recorded("SLURM_BATCH_SCRIPT"),
    launcher: "single",
    numbers: [0, 0, 0, 1, 1, 1],
    note: /SLURM_STEP_ID/,
  },
  { title: "a smaller step in a batch job", env: recorded("SLURM_PART_OF_BATCH"), launcher: "slurm", numbers: [1, 0, 1, 2, 1, 2] },
  { title: "a command under salloc", env: recorded("SLURM_SALLOC_SHELL"), launcher: "single", numbers: [0, 0, 0, 1, 1, 1], note: /SLURM_/ },
  { title: "a step under salloc", env: recorded("SLURM_SALLOC_STEP"), launcher: "slurm", numbers: [1, 1, 0, 2, 2, 1] },
  { title: "an srun --pty shell", env: recorded("SLURM_PTY_STEP"), launcher: "slurm", numbers: [0, 0, 0, 4, 3, 2], note: /SLURM_PTY_PORT/ },
  {
    title: "Slurm's interactive step",
    env: { ...recorded("SLURM_SALLOC_SHELL"), SLURM_STEP_ID: "4294967290", SLURM_PROCID: "0", SLURM_LOCALID: "0" },
    launcher: "single",
    numbers: [0, 0, 0, 1, 1, 1],
    note: /SLURM_STEP_ID/,
  },
  {
    title: "a step id that is no number",
    env: { ...recorded("SLURM_TASK_5_OF_7"), SLURM_STEP_ID: "batch" },
    launcher: "single",
    numbers: [0, 0, 0, 1, 1, 1],
    note: /SLURM_STEP_ID/,
  },
  {
    title: "WORLD_SIZE exported to a Slurm step and right",
    env: { ...recorded("SLURM_TASK_5_OF_7"), WORLD_SIZE: "7", LOCAL_RANK: "1" },
    launcher: "slurm",
    numbers: [5, 1, 1, 7, 2, 3],
  },
  {
    title: "Open MPI on two nodes, node unknown in spite of NODE_RANK",
    env: recorded("OPEN_MPI_RANK_2_OF_4"),
    launcher: "open-mpi",
    numbers: [2, 0, null, 4, 2, null],
    more: { jobId: "1461977089", nodeKey: "open-mpi 1461977088.2" },
  },
  { title: "Open MPI on one node", env: recorded("OPEN_MPI_RANK_1_OF_2"), launcher: "open-mpi", numbers: [1, 1, 0, 2, 2, 1] },
  {
    title: "MPICH on two nodes",
    env: recorded("MPICH_RANK_2_OF_4"),
    launcher: "mpich",
    numbers: [2, 0, null, 4, 2, null],
    more: { nodeName: "nodeB" },
  },
  {
    title: "a TrainJob pod without torchrun",
    env: { PET_NNODES: "4", PET_NODE_RANK: "3", PET_NPROC_PER_NODE: "1", PET_MASTER_ADDR: "job-node-0-0.job", PET_MASTER_PORT: "29500" },
    launcher: "pet",
    numbers: [3, 0, 3, 4, 1, 4],
    more: { head: { host: "job-node-0-0.job", port: 29500, occupied: false } },
  },
  {
    title: "a PyTorchJob pod whose RANK is the node's",
    env: { PET_NNODES: "2:2", PET_NODE_RANK: "1", RANK: "1", WORLD_SIZE: "2" },
    launcher: "pet",
    numbers: [1, 0, 1, 2, 1, 2],
  },
  { title: "torchrun defaults in a shell", env: { PET_NPROC_PER_NODE: "8" }, launcher: "single", numbers: [0, 0, 0, 1, 1, 1] },
  {
    title: "an indexed job whose size is told",
    env: { JOB_COMPLETION_INDEX: "3", RANKCAST_NODE_COUNT: "4" },
    launcher: "kubernetes",
    numbers: [3, 0, 3, 4, 1, 4],
    more: { head: { host: "worker-0.train.ns.svc", port: null, occupied: false } },
  },
  {
    title: "an array job",
    env: { JOB_COMPLETION_INDEX: "3" },
    launcher: "single",
    numbers: [0, 0, 0, 1, 1, 1],
    note: /RANKCAST_NODE_COUNT/,
  },
  {
    title: "our own variables under everything else",
    env: {
      ...recorded("SLURM_TASK_5_OF_7"),
      ...recorded("OPEN_MPI_RANK_2_OF_4"),
      ...TORCH,
      RANKCAST_RANK: "4",
      RANKCAST_LOCAL_RANK: "1",
      RANKCAST_NODE_RANK: "1",
      RANKCAST_WORLD_SIZE: "5",
      RANKCAST_LOCAL_WORLD_SIZE: "2",
      RANKCAST_NODE_COUNT: "2",
      RANKCAST_JOB_ID: "j",
    },
    launcher: "rankcast",
    numbers: [4, 1, 1, 5, 2, 2],
    more: { jobId: "j", nodeKey: "boot net 1" },
  },
  {
    title: "a world of one by hand",
    env: { RANKCAST_RANK: "0", RANKCAST_WORLD_SIZE: "1" },
    launcher: "rankcast",
    numbers: [0, 0, 0, 1, 1, 1],
  },
  { title: "RANK=0 alone", env: { RANK: "0", LOCAL_RANK: "0" }, launcher: "single", numbers: [0, 0, 0, 1, 1, 1] },
];

const REFUSED: readonly { title: string; env: Variables; variables: readonly string[] }[] = [
  { title: "LOCAL_RANK alone", env: { LOCAL_RANK: "1" }, variables: ["LOCAL_RANK", "RANK", "WORLD_SIZE"] },
  { title: "RANK and WORLD_SIZE without LOCAL_RANK", env: { RANK: "1", WORLD_SIZE: "2" }, variables: ["LOCAL_RANK"] },
  { title: "rank above the world", env: { RANK: "1", WORLD_SIZE: "1", LOCAL_RANK: "0" }, variables: ["RANK", "WORLD_SIZE"] },
  { title: "local rank above its node", env: { ...TORCH, LOCAL_RANK: "2" }, variables: ["LOCAL_RANK", "LOCAL_WORLD_SIZE"] },
  { title: "a node larger than the world", env: { ...TORCH, LOCAL_WORLD_SIZE: "9" }, variables: ["LOCAL_WORLD_SIZE", "WORLD_SIZE"] },
  {
    title: "a node rank above the nodes",
    env: { ...TORCH, GROUP_RANK: "4", GROUP_WORLD_SIZE: "4" },
    variables: ["GROUP_RANK", "GROUP_WORLD_SIZE"],
  },
  {
    title: "more nodes than ranks left",
    env: { ...TORCH, GROUP_WORLD_SIZE: "8" },
    variables: ["GROUP_WORLD_SIZE", "WORLD_SIZE", "LOCAL_WORLD_SIZE"],
  },
  {
    title: "one node that lacks ranks",
    env: { ...TORCH, GROUP_RANK: "0", GROUP_WORLD_SIZE: "1" },
    variables: ["LOCAL_WORLD_SIZE", "WORLD_SIZE"],
  },
  { title: "a rank that is no number", env: { ...TORCH, RANK: "0x3" }, variables: ["RANK"] },
  { title: "a negative rank", env: { ...TORCH, RANK: "-1" }, variables: ["RANK"] },
  { title: "a world size beyond 2^31", env: { ...TORCH, WORLD_SIZE: "4294967296" }, variables: ["WORLD_SIZE"] },
  { title: "a world of none", env: { ...TORCH, WORLD_SIZE: "0" }, variables: ["WORLD_SIZE"] },
  { title: "a port that is none", env: { ...TORCH, MASTER_ADDR: "a", MASTER_PORT: "70000" }, variables: ["MASTER_PORT"] },
  { title: "half of our own", env: { RANKCAST_LOCAL_RANK: "1" }, variables: ["RANKCAST_RANK", "RANKCAST_WORLD_SIZE"] },
  {
    title: "our own without the node",
    env: { RANKCAST_RANK: "1", RANKCAST_WORLD_SIZE: "2" },
    variables: ["RANKCAST_LOCAL_RANK", "RANKCAST_LOCAL_WORLD_SIZE"],
  },
  { title: "a Slurm step without SLURM_PROCID", env: { ...recorded("SLURM_TASK_5_OF_7"), SLURM_PROCID: "" }, variables: ["SLURM_PROCID"] },
  {
    title: "tasks that do not add up",
    env: { ...recorded("SLURM_TASK_5_OF_7"), SLURM_STEP_TASKS_PER_NODE: "4,2,2" },
    variables: ["SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NUM_TASKS"],
  },
  {
    title: "tasks for other nodes",
    env: { ...recorded("SLURM_TASK_5_OF_7"), SLURM_STEP_TASKS_PER_NODE: "4,3" },
    variables: ["SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NUM_NODES"],
  },
  {
    title: "a broken node list",
    env: { ...recorded("SLURM_TASK_5_OF_7"), SLURM_STEP_NODELIST: "n[0-" },
    variables: ["SLURM_STEP_NODELIST"],
  },
  {
    title: "WORLD_SIZE unlike Slurm's",
    env: { ...recorded("SLURM_TASK_5_OF_7"), WORLD_SIZE: "56" },
    variables: ["SLURM_STEP_NUM_TASKS", "WORLD_SIZE"],
  },
  { title: "RANK unlike Open MPI's", env: { ...recorded("OPEN_MPI_RANK_2_OF_4"), RANK: "0" }, variables: ["OMPI_COMM_WORLD_RANK", "RANK"] },
  { title: "Open MPI without a size", env: { OMPI_COMM_WORLD_RANK: "0" }, variables: ["OMPI_COMM_WORLD_SIZE"] },
  { title: "PMIx alone", env: { PMIX_RANK: "0", PMIX_NAMESPACE: "x" }, variables: ["PMIX_RANK", "OMPI_COMM_WORLD_SIZE"] },
  {
    title: "a pod asked for eight processes",
    env: { PET_NNODES: "2", PET_NODE_RANK: "0", PET_NPROC_PER_NODE: "8" },
    variables: ["PET_NPROC_PER_NODE"],
  },
  { title: "a pod asked for one per CPU", env: { PET_NNODES: "2", PET_NPROC_PER_NODE: "auto" }, variables: ["PET_NPROC_PER_NODE"] },
  { title: "an elastic TrainJob", env: { PET_NNODES: "1:4" }, variables: ["PET_NNODES"] },
  {
    title: "a pod beyond the others",
    env: { JOB_COMPLETION_INDEX: "4", RANKCAST_NODE_COUNT: "4" },
    variables: ["JOB_COMPLETION_INDEX", "RANKCAST_NODE_COUNT"],
  },
];

describe("detectRank", () => {
  for (const { title, env, launcher, numbers, more = {}, note } of ROWS) {
    it(`${rowOf(title)}: understands ${title}`, () => {
      const detected = detectRank(env, FACTS);
      const { rank, localRank, nodeRank, worldSize, localWorldSize, nodeCount } = detected.identity;
      expect([rank, localRank, nodeRank, worldSize, localWorldSize, nodeCount]).to.deep.equal(numbers);
      expect(detected).to.deep.include({ launcher, ...more });
      if (note === undefined) expect(detected.notes).to.deep.equal([]);
      else expect(detected.notes.join("\n")).to.match(note);
    });
  }

  for (const { title, env, variables } of REFUSED) {
    it(`${rowOf(title)}: refuses ${title}, naming the variables`, async () => {
      const error = await expectError("RANKCAST_RANK_VARIABLES", () => detectRank(env, FACTS));
      expect(error).to.include({ class: "usage" });
      expect(error.details["variables"]).to.include.members([...variables]);
      for (const variable of variables) expect(error.message).to.include(variable);
    });
  }

  it("gives a whole identity only when all of it is known", async () => {
    expect(requireIdentity(detectRank(recorded("OPEN_MPI_RANK_1_OF_2"), FACTS))).to.deep.include({ rank: 1, nodeRank: 0 });
    const error = await expectError("RANKCAST_RANK_VARIABLES", () => requireIdentity(detectRank(recorded("OPEN_MPI_RANK_2_OF_4"), FACTS)));
    expect(error.message).to.include("RANKCAST_NODE_RANK");
    const half = await expectError("RANKCAST_RANK_VARIABLES", () =>
      requireIdentity(detectRank({ RANK: "3", WORLD_SIZE: "8", LOCAL_RANK: "1" }, FACTS)),
    );
    expect(half.message).to.include("LOCAL_WORLD_SIZE");
  });
});

/** The row of the semantics table that a case is about. */
function rowOf(title: string): string {
  if (/batch|salloc|interactive|--pty|step id/.test(title)) return "I9";
  return /LOCAL_RANK alone|above the world/.test(title) ? "I3" : "I1";
}
