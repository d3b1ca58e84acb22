/** Public names of @rankcast/core, grouped by stage. */

export type { ErrorContext, ErrorDetail, ErrorDetails } from "./errors/checkpoint-error.ts";
export {
  CheckpointError,
  DistributionError,
  FormatError,
  SourceError,
  StateDictError,
  TensorError,
  UsageError,
} from "./errors/checkpoint-error.ts";
export type { ErrorClass, ErrorCodeRow } from "./errors/error-code-row.ts";
export { ERROR_CODES, type ErrorCode } from "./errors/error-codes.ts";
export type { TensorRectangle } from "./format/dcp-rectangle.ts";
export { compileLimits, DEFAULT_LIMITS, type LimitName, type Limits } from "./limits/limits.ts";
// Loading
export type { Checkpoint, CheckpointReport } from "./load/checkpoint.ts";
export { type CurrentCheckpoint, type CurrentCheckpointOptions, currentCheckpoint } from "./load/checkpoint-identity.ts";
export { CheckpointLoader, loadFromHttp, loadFromLocal, loadFromTorchvision } from "./load/checkpoint-loader.ts";
export { type ConvertOptions, type ConvertReport, convertCheckpoint } from "./load/convert-checkpoint.ts";
export { type CheckpointDifference, type DiffOptions, type DiffReport, diffCheckpoints } from "./load/diff-checkpoints.ts";
export { type DownloadCache, openDownloadCache } from "./load/download-cache.ts";
export { type DownloadReport, downloadCheckpoint } from "./load/download-checkpoint.ts";
export { type ExplainOptions, explainLoad, type PlanReport } from "./load/explain-load.ts";
export type { OwnerPlan, TravelPlan } from "./load/explain-nodes.ts";
export type { FetchHooks, FetchOptions, FetchPolicy, LoadProgress, StateDictSelector } from "./load/fetch-options.ts";
export { type FoundCheckpoint, findLatestCheckpoint, type IncompleteCheckpoint } from "./load/find-checkpoint.ts";
export { type InspectedTensor, type InspectOptions, type InspectReport, inspectCheckpoint } from "./load/inspect-checkpoint.ts";
export { type LoadCheckpointOptions, loadCheckpoint } from "./load/load-checkpoint.ts";
export { type LoadModelOptions, loadModelCheckpoint } from "./load/load-model-checkpoint.ts";
export { type CheckpointHandle, type OpenCheckpointOptions, openCheckpoint } from "./load/open-checkpoint.ts";
export { type VerifyReport, verifyCheckpoint } from "./load/verify-checkpoint.ts";
export { ComplexValue, KeyTuple, OpaqueValue, TreeDict, TreeList, type TreeValue } from "./manifest/checkpoint-tree.ts";
export {
  type CompiledMapLocation,
  compileMapLocation,
  type LocatedStorage,
  type MapLocation,
  type MapLocationFunction,
  type StorageLocation,
} from "./map-location/compile-map-location.ts";
export { type Device, type DeviceMemory, registerDevice } from "./map-location/device-registry.ts";
export type { StateDictLike } from "./module/draft-plan.ts";
export { ForeignParameter, type ForeignTensor } from "./module/foreign-parameter.ts";
export type { KeyRule } from "./module/key-rule.ts";
export type { CommitAction, IncompatibleKeys, LoadPostHook, LoadPreHook, LoadView, StateDictView } from "./module/load-hooks.ts";
export type { IgnoreRules, LoadStateDictOptions } from "./module/load-options.ts";
export { loadStateDict } from "./module/load-state-dict.ts";
export { registerStateMigration, type StateMigration } from "./module/migrations.ts";
export { Module, type ModuleOptions } from "./module/module.ts";
export { moduleFromStateDict } from "./module/module-from-state-dict.ts";
export { ModuleWrapper, unwrapModule } from "./module/module-wrapper.ts";
export { Parameter } from "./module/parameter.ts";
export type { OpenTensor } from "./module/tensor-slot.ts";
export {
  type BroadcastReport,
  LoadReport,
  type LoadReportFields,
  type MemoryReport,
  type OriginReport,
  type RankReport,
  type SegmentReport,
  type TimingReport,
} from "./report/load-report.ts";
export { mergeReports } from "./report/merge-reports.ts";
export type { Cast, IgnoredKey, LoadHints, LoadProblem, Mismatch, ReplicaReport } from "./report/replica-report.ts";
export { DEFAULT_REV_KEYS, type JavaScriptReplacement, type RevKeyLimits } from "./rev-keys/compile-rev-keys.ts";
export { type RevisedStateDict, type ReviseKeysOptions, type RevKey, type RevKeys, reviseKeys } from "./rev-keys/revise-keys.ts";
export type { ResolveContext, ResolveOptions } from "./scheme/resolve-context.ts";
export type { RegisterOptions, Registration, SchemeLoader, SchemePrefix } from "./scheme/scheme-registry.ts";
export { getTorchvisionModels, type TorchvisionModel } from "./scheme/torchvision-names.ts";
export type { WeightTables } from "./scheme/weight-tables.ts";
// Schemes
export type { FetchEvent, FetchListener, FetchNotice, FetchProgress, FetchRetry, FetchWaiting } from "./source/fetch-event.ts";
export type { CheckpointValue } from "./state-dict/checkpoint-value.ts";
export { type CastOptions, castTensor } from "./tensor/cast.ts";
export { type CastLoss, describeCast } from "./tensor/cast-loss.ts";
export { densify, type SparseParts } from "./tensor/densify.ts";
export { digestStateDict, digestTensor } from "./tensor/digest.ts";
export { DTYPES, type DType, type DTypeTraits } from "./tensor/dtype.ts";
export type { Scalar } from "./tensor/element.ts";
export { type CastMeasure, castIsLossy, measureCast } from "./tensor/measure-cast.ts";
export { type ModuleMetadata, StateDict } from "./tensor/state-dict.ts";
export { Storage } from "./tensor/storage.ts";
export { Tensor, type TensorParts } from "./tensor/tensor.ts";
export type { TensorArray } from "./tensor/typed-array.ts";
export type { SaveOptions, SaveProgress, SaveReport } from "./write/save-options.ts";
export { type SaveSafetensorsOptions, saveSafetensors } from "./write/save-safetensors.ts";
export { saveTorch } from "./write/save-torch.ts";
