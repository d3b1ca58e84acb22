/**
 * Rules that bring the keys of an older module up to date before they are planned, by type name: what torch's modules do in their own
 * `_load_from_state_dict`.
 */
import { elementCount } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { LoadView } from "./load-hooks.ts";
import { bumpStructureEpoch } from "./structure-epoch.ts";

/** Edits `view.stateDict` of one module. */
export type StateMigration = (view: LoadView) => void;

/** A migration and what it promises. */
export interface MigrationRow {
  readonly migrate: StateMigration;
  /** Whether the edits follow from keys and versions alone; only then may a plan be used again. */
  readonly structural: boolean;
  /** The version that needs it no more. */
  readonly below: number;
}

const NO_MIGRATIONS: readonly MigrationRow[] = [];
const MIGRATIONS = new Map<string, MigrationRow[]>();

/**
 * Adds a migration for modules whose `typeName` is `typeName`. It runs before the module's pre hooks. `structural` promises that the edits
 * depend on keys, shapes and versions only. With `below` it runs for modules only that the checkpoint gives a lower version, or none. Returns
 * its disposer.
 */
export function registerStateMigration(
  typeName: string,
  migrate: StateMigration,
  options: { readonly structural?: boolean; readonly below?: number } = {},
): () => void {
  const row = { migrate, structural: options.structural ?? false, below: options.below ?? Number.POSITIVE_INFINITY };
  MIGRATIONS.set(typeName, [...(MIGRATIONS.get(typeName) ?? []), row]);
  bumpStructureEpoch();
  return () => {
    MIGRATIONS.set(
      typeName,
      (MIGRATIONS.get(typeName) ?? []).filter((each) => each !== row),
    );
    bumpStructureEpoch();
  };
}

/** Migrations of a type, in the order of registration. */
export function migrationsOf(typeName: string): readonly MigrationRow[] {
  return MIGRATIONS.get(typeName) ?? NO_MIGRATIONS;
}

/** Whether a module with this metadata in the checkpoint needs any of them. */
export function needMigration(rows: readonly MigrationRow[], version: unknown): boolean {
  for (const { below } of rows) if (typeof version !== "number" || version < below) return true;
  return false;
}

/** Name of the built-in rule in reports. */
export const BATCH_COUNTER_MIGRATION = "normalisation layers before version 2 had no num_batches_tracked";

/**
 * Layers with running statistics gained a batch counter in version 2. A checkpoint that is older, or says no version, keeps the model's
 * counter; torch 2.13 `nn/modules/batchnorm.py` (`_NormBase`) does so although its comment says 0.
 */
function fillBatchCounter(view: LoadView): void {
  const counter = view.module.ownBuffers.get("num_batches_tracked");
  const key = `${view.prefix}num_batches_tracked`;
  if (!counter || view.stateDict.has(key)) return;
  const { held } = counter;
  view.stateDict.setDefault(key, held.isMeta ? zeroOf(held) : held, BATCH_COUNTER_MIGRATION);
}

function zeroOf(held: Tensor): Tensor {
  const zeros = new BigInt64Array(elementCount(held.shape));
  return Tensor.from(zeros, held.shape);
}

for (const typeName of [
  "BatchNorm1d",
  "BatchNorm2d",
  "BatchNorm3d",
  "SyncBatchNorm",
  "InstanceNorm1d",
  "InstanceNorm2d",
  "InstanceNorm3d",
]) {
  registerStateMigration(typeName, fillBatchCounter, { structural: true, below: 2 });
}
