/** Pools of a world of one, with a real coordinator in a thread and real replica threads. */
import { joinGroup, type RankGroup, type ReplicaPool, type ReplicaPoolOptions } from "@rankcast/worker";
import { FIXTURES } from "../../support/fixtures.js";
import type { Misbehaviour } from "./misbehaving-replica.js";

/** A checkpoint that has what the replicas of these tests want, and more. */
export const WEIGHTS = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
/** The module of the replicas. */
export const REPLICA = new URL("misbehaving-replica.js", import.meta.url);

/** The pool of `RankGroup.createPool`. */
export type TestPool = Awaited<ReturnType<RankGroup["createPool"]>>;

/** Registers hooks: one group per suite; `createPool` gives pools that are closed after each test. */
export function poolBench(environment: Readonly<Record<string, string>> = {}): {
  group(): RankGroup;
  createPool(options?: ReplicaPoolOptions & { readonly options?: Misbehaviour }): Promise<TestPool>;
} {
  let group: RankGroup;
  let pools: ReplicaPool<never>[] = [];
  before(async () => {
    group = await joinGroup({ environment });
  });
  afterEach(async () => {
    for (const pool of pools.splice(0)) await pool.close();
    pools = [];
  });
  after(() => group.close());
  return {
    group: () => group,
    async createPool(options = {}) {
      const pool = await group.createPool({ replica: REPLICA, ...options });
      pools.push(pool as unknown as ReplicaPool<never>);
      return pool;
    },
  };
}
