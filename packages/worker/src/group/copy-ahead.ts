/** The part of a round that runs beside a download: replicas copy what is here. Nothing depends on it; what goes wrong is the load's own to find. */
import type { DType } from "@rankcast/core";
import type { Arriving } from "../grpc/coordinator-channel.ts";
import type { Foreseen } from "../replica/ahead-copies.ts";
import type { ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";

/** What is copied for whom. */
export interface AheadOptions {
  readonly session: RankSession;
  readonly sequence: number;
  readonly replicas: ReplicaSet;
  readonly options: ReplicaLoadOptions;
  readonly limits: Readonly<Record<string, number>>;
  /** Told when copying begins. */
  readonly onPhase: (phase: string) => void;
}

/** Copying that goes on until it is stopped. */
export interface CopyingAhead {
  /** Begins nothing more. Resolves when nothing runs any more, with the milliseconds that copying took. */
  stop(): Promise<number>;
}

/** The JSON of the first message of a round and of those behind it. */
type ArrivalFields = Pick<Foreseen, "files" | "flat"> & { readonly castTo: DType | null };

/** Listens for what arrives, and lets replicas copy it, a few storages at a time. */
export function copyAhead({ session, sequence, replicas, options, limits, onPhase }: AheadOptions): CopyingAhead {
  let wanted: ReadonlySet<number> | null = null;
  let here: number[] = [];
  let running: Promise<void> | null = null;
  let stopped = false;
  let tookMs = 0;
  const attempt = (work: () => Promise<void>): void => {
    running ??= work()
      .catch(() => {
        stopped = true;
      })
      .finally(() => {
        running = null;
        next();
      });
  };
  const next = (): void => {
    if (stopped || wanted === null || running !== null) return;
    const storages = here.splice(0, STORAGES_MAX).filter((storage) => wanted?.has(storage));
    if (storages.length > 0) attempt(() => timed(() => replicas.copyAhead(storages)));
    else if (here.length > 0) next();
  };
  const timed = async (work: () => Promise<void>): Promise<void> => {
    const startMs = performance.now();
    if (tookMs === 0) onPhase("copying ahead");
    await work();
    tookMs += performance.now() - startMs;
  };
  session.arrivals.listen(sequence, ({ manifest, placement }: Arriving) => {
    if (manifest.byteLength === 0) {
      here = here.concat((placement as { storages: number[] }).storages);
      next();
      return;
    }
    const { files, flat, castTo } = placement as ArrivalFields;
    const shared = new Uint8Array(new SharedArrayBuffer(manifest.byteLength));
    shared.set(manifest);
    attempt(async () => {
      wanted = new Set(await replicas.foresee({ sequence, manifest: shared, limits, files, flat, castTo }, options));
    });
  });
  return {
    async stop() {
      stopped = true;
      session.arrivals.over(sequence);
      await running;
      return tookMs;
    },
  };
}

/** As many at a time as make the way to a thread cheap; whoever waits for the load waits for these at most. */
const STORAGES_MAX = 8;
