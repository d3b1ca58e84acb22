/** Names that only the sister packages and the tests may use (imported as `@rankcast/core/internal`). No promise of stability. */

// barrier
export {
  type ArrivalMessage,
  type CallerEvent,
  type CallerInstruction,
  type CallerState,
  type CallerStep,
  type CallResult,
  createCallerState,
  type FenceReason,
  stepCaller,
} from "./barrier/barrier-caller.ts";
export type { BarrierDecision, FailDecision, FailureCause, MemberList, MemberReport, PassDecision } from "./barrier/barrier-decision.ts";
export { busyError, decisionError, describeMember, refusalError } from "./barrier/barrier-error.ts";
export type { ArrivalOutcome, ArriveEvent, BarrierEvent, LossKind, MemberPlace } from "./barrier/barrier-event.ts";
export type { BarrierInstruction, RefusalReason } from "./barrier/barrier-instruction.ts";
export {
  BARRIER_NAMES_MAX,
  type BarrierMember,
  type BarrierState,
  createBarrierState,
  DECISIONS_KEPT,
  LATER_CAUSES_MAX,
  type OpenGeneration,
  REPORTS_MAX,
} from "./barrier/barrier-state.ts";
export { describeWaiting } from "./barrier/describe-waiting.ts";
export { BarrierRun, type BarrierStep, deadlineOf, stepBarrier } from "./barrier/step-barrier.ts";
// broadcast
export { receiverError, stalledReceiverError } from "./broadcast/broadcast-error.ts";
export {
  type BroadcastId,
  type BroadcastNodeAddress,
  type BroadcastOffer,
  broadcastKey,
  checkOffer,
  contentDigest,
  DEFAULT_HOP,
  type HopCost,
} from "./broadcast/broadcast-offer.ts";
export { chooseChunkBytes } from "./broadcast/choose-chunk-bytes.ts";
export { chooseConnections, type LinkTerms } from "./broadcast/choose-connections.ts";
export { extendChecksum, startChecksum } from "./broadcast/chunk-checksum.ts";
export { type Chunk, type ChunkLayout, layoutChunks } from "./broadcast/chunk-layout.ts";
export { ChunkSet } from "./broadcast/chunk-set.ts";
export { type BroadcastPlan, type NodePlan, planBroadcast } from "./broadcast/plan-broadcast.ts";
export { CHAIN_NODES_MAX, chainMs, hopMs, type TreeTerms, treeMs } from "./broadcast/plan-tree.ts";
export type { ReceiverEvent, ReceiverInstruction } from "./broadcast/receiver-event.ts";
export {
  createReceiverState,
  doubtDueMs,
  RECEIVER_TIMES,
  type ReceiverFailure,
  type ReceiverOptions,
  type ReceiverState,
  wantedChunks,
} from "./broadcast/receiver-state.ts";
export type { SenderEvent, SenderInstruction } from "./broadcast/sender-event.ts";
export { createSenderState, type SenderOptions, type SenderState, type Subscription } from "./broadcast/sender-state.ts";
export { stepReceiver } from "./broadcast/step-receiver.ts";
export { stepSender } from "./broadcast/step-sender.ts";
export { ChecksumCrew, sharedChecksumCrew } from "./checksum/checksum-crew.ts";
export { crc32OfBoth, crc32OfTail } from "./checksum/combine-crc32.ts";
export { crc32, prepareCrc32 } from "./checksum/crc32.ts";
export { openFastCrc32 } from "./checksum/fast-crc32.ts";
// Containers
export type { Container, ContainerEntry } from "./container/container.ts";
export { inflateExactly } from "./container/inflate.ts";
export { openTar, TORCH_TAR_MEMBERS } from "./container/open-tar.ts";
export { type OpenContainerOptions, openZip } from "./container/open-zip.ts";
export { isTarHeader } from "./container/tar-header.ts";
export { folderOf, requireRecord } from "./container/zip-folder.ts";
// delta
export { applyDelta } from "./delta/apply-delta.ts";
export { BLOCK_BYTES, type ByteRun, type ByteRuns, blocksOf, hasPage, noPages, PAGE_BYTES, type PageMap } from "./delta/delta-format.ts";
export { encodeDelta } from "./delta/encode-delta.ts";
// Environment
export { type Environment, readEnvironment } from "./environment/environment.ts";
export { asCheckpointError, describeError, type ErrorRecord, fromErrorRecord, toErrorRecord } from "./errors/error-record.ts";
export { nearestNames } from "./errors/nearest-names.ts";
export { printable, quote } from "./errors/quote.ts";
// Formats.
export type { CheckpointFormat, FormatInput } from "./format/checkpoint-format.ts";
export { cutPieces } from "./format/cut-pieces.ts";
export { assembleChunks, type DcpChunk } from "./format/dcp-chunks.ts";
export { type DcpItem, type DcpMetadata, parseDcpMetadata } from "./format/dcp-metadata.ts";
export { mergeRanks } from "./format/dcp-ranks.ts";
export { type RectangleRun, rectangleRuns, type TensorRectangle } from "./format/dcp-rectangle.ts";
export { type DcpLeaf, nestLeaves } from "./format/dcp-tree.ts";
export { discoverEntry } from "./format/discover-entry.ts";
export { gguf } from "./format/gguf.ts";
export { JsonScanner } from "./format/json-scanner.ts";
export { moveStorages } from "./format/move-storages.ts";
export { npy } from "./format/npy.ts";
export { npz } from "./format/npz.ts";
export { plainPickle } from "./format/plain-pickle.ts";
export { type ReadCheckpointOptions, readCheckpoint } from "./format/read-checkpoint.ts";
export { readFirstMatch, readHead } from "./format/read-first-match.ts";
export { rebaseSources } from "./format/rebase-sources.ts";
export { safetensors } from "./format/safetensors.ts";
export { openSafetensors } from "./format/safetensors-file.ts";
export { shardedFormat } from "./format/sharded.ts";
export { describeContent } from "./format/sniff.ts";
export { tfjs } from "./format/tfjs.ts";
export { torchLegacy } from "./format/torch-legacy.ts";
export { torchTar } from "./format/torch-tar.ts";
export { torchZip } from "./format/torch-zip.ts";
// lease
export { createLeaseState, type LeaseEvent, type LeaseInstruction, type LeaseState } from "./lease/lease-state.ts";
export { stepLeases } from "./lease/step-leases.ts";
export { HeapBudget } from "./limits/heap-budget.ts";
export { type OpenedWeights, openWeights } from "./load/open-weights.ts";
// Manifest
export { aliasesOf } from "./manifest/aliases.ts";
export { buildManifest, type ManifestOptions } from "./manifest/build-manifest.ts";
export {
  type CheckpointTree,
  ComplexValue,
  KeyTuple,
  OpaqueValue,
  type Quantisation,
  SparseRef,
  type StorageExtent,
  type StoragePiece,
  StorageRef,
  TensorRef,
  TreeDict,
  type TreeKey,
  TreeList,
  type TreeValue,
  type Warning,
} from "./manifest/checkpoint-tree.ts";
export { copyStorage } from "./manifest/copy-storage.ts";
export { describeExtraState } from "./manifest/describe-extra-state.ts";
export { type ExtraRow, type ExtraState, NO_EXTRA_STATE } from "./manifest/extra-state.ts";
export type { FlatTensor } from "./manifest/flat-tensors.ts";
export { type FlatTree, flattenTree } from "./manifest/flatten-tree.ts";
export type {
  OpaqueDescriptor,
  PlainValue,
  SourceDescriptor,
  StateDictManifest,
  StorageDescriptor,
  TensorDescriptor,
} from "./manifest/manifest.ts";
export { decodeManifest, encodeManifest } from "./manifest/manifest-codec.ts";
export { layoutDigest, manifestDigest } from "./manifest/manifest-digest.ts";
export { rebuildExtraState } from "./manifest/rebuild-extra-state.ts";
export { tileExactly } from "./manifest/rectangle-cover.ts";
export { STATE_DICT_KEYS, selectStateDict } from "./manifest/select-state-dict.ts";
export { trimStorages } from "./manifest/trim-storages.ts";
export { validateManifest } from "./manifest/validate-manifest.ts";
export { compileMapLocation } from "./map-location/compile-map-location.ts";
export { deviceOf, registerDevice } from "./map-location/device-registry.ts";
export { type DeviceTag, parseDeviceTag } from "./map-location/device-tag.ts";
// Memory, plan, segments, composers
export { attachStorages } from "./memory/attach-storages.ts";
export { BOARD_RUNS_MAX, CopyBoard, type CopyRun } from "./memory/copy-board.ts";
export { createMemorySegment, createRewritableSegment, type MemorySegment } from "./memory/memory-segment.ts";
export { MemoryMeter, type MemoryUse, readMemoryUse } from "./memory/memory-use.ts";
export { nativeMemory } from "./memory/native-memory.ts";
export type { SegmentDescriptor, StoragePlacement } from "./memory/segment.ts";
export { openSegmentBytes, type SegmentBytes } from "./memory/segment-bytes.ts";
export { TensorCopier } from "./memory/tensor-copier.ts";
export { createWrittenSegment, type WrittenSegment } from "./memory/written-segment.ts";
export { commitStateDict } from "./module/commit-state-dict.ts";
export { compileRule, matchesGlob } from "./module/key-rule.ts";
export { metaTensor } from "./module/parameter.ts";
export { examineStateDict, planStateDict } from "./module/plan-state-dict.ts";
export type { StateDictPlan } from "./module/state-dict-plan.ts";
export { selectSubtree } from "./module/subtree.ts";
// Pickles
export { type ByteRequest, type HeldBytes, type Reading, readFromBytes, readFromSource } from "./pickle/byte-reading.ts";
export { isDangerous } from "./pickle/dangerous-globals.ts";
export { GlobalRef, type GlobalTable, globalKey, type KnownGlobal, type PickleCall } from "./pickle/known-global.ts";
export { KNOWN_GLOBALS } from "./pickle/known-globals.ts";
export { OPCODES } from "./pickle/opcodes.ts";
export { decodePickle, type PickleOptions, type PickleResult, readPickle } from "./pickle/read-pickle.ts";
export type { LoadPlan } from "./plan/load-plan.ts";
export { planLoad } from "./plan/plan-load.ts";
// rendezvous
export { formMembership } from "./rendezvous/membership.ts";
export { describeNode, jobOutcomeError, nodeFailureError, nodeRefusalError } from "./rendezvous/rendezvous-error.ts";
export type { NodeAnnouncement, NodeOutcome, RendezvousEvent } from "./rendezvous/rendezvous-event.ts";
export type { NodeRefusal, RendezvousInstruction } from "./rendezvous/rendezvous-instruction.ts";
export {
  createRendezvousState,
  type JobOutcome,
  type Membership,
  type NodeFailure,
  type NodePlace,
  type RendezvousOptions,
  type RendezvousState,
} from "./rendezvous/rendezvous-state.ts";
export { stepRendezvous } from "./rendezvous/step-rendezvous.ts";
export { groupKeys, type KeyGroup } from "./report/group-keys.ts";
export { findNearMisses } from "./report/near-misses.ts";
export { revKeyFlag } from "./report/render-replica.ts";
export { EMPTY_REPLICA_REPORT, isClean } from "./report/replica-report.ts";
export { suggestPrefixEdit } from "./report/suggest-prefix-edit.ts";
export { toIncompatibleKeys, toTorchMessage } from "./report/torch-message.ts";
export { type VerdictPolicy, verdictOf } from "./report/verdict.ts";
export { toVis4dMessage } from "./report/vis4d-message.ts";
// rev-keys
export { runBounded, TimeUp } from "./rev-keys/bounded-run.ts";
export {
  type CompiledRevKeys,
  type CompiledRule,
  compileRevKeys,
  DEFAULT_REV_KEYS,
  type RevKeyLimits,
} from "./rev-keys/compile-rev-keys.ts";
export { compilePythonRule, type PythonRule } from "./rev-keys/python-rule.ts";
export { type NameCollision, type RevisedNames, requireNoCollision, reviseNames } from "./rev-keys/revise-names.ts";
export type { Clock } from "./rev-keys/rewrite-names.ts";
export { awsAccount } from "./scheme/aws-credentials.ts";
export { s3Signer } from "./scheme/aws-signature.ts";
// Schemes
export { builtInSchemes, defaultSchemes } from "./scheme/default-schemes.ts";
export { loadFromHttp } from "./scheme/http.ts";
export { parseHubUri } from "./scheme/hugging-face-location.ts";
export { loadFromLocal } from "./scheme/local.ts";
export type { ResolveContext, ResolveOptions } from "./scheme/resolve-context.ts";
export { resolveWeights } from "./scheme/resolve-weights.ts";
export { type RegisterOptions, type Registration, type SchemeLoader, type SchemePrefix, SchemeRegistry } from "./scheme/scheme-registry.ts";
export { loadFromTorchvision } from "./scheme/torchvision.ts";
export { getTorchvisionModels, resolveTorchvision, type TorchvisionModel, type TorchvisionWeights } from "./scheme/torchvision-names.ts";
export type { WeightTables } from "./scheme/weight-tables.ts";
export { type BuiltSegments, buildSegments } from "./segment/build-segments.ts";
export { flattenPlacements, type PlacedSegments, type SegmentReuse, unflattenPlacements } from "./segment/describe-placement.ts";
export { verifySegments } from "./segment/verify-segments.ts";
export { BlockPool } from "./source/block-pool.ts";
export { BlockWriter } from "./source/block-writer.ts";
export { parseContentRange, RangeSet } from "./source/byte-range.ts";
// Sources
export {
  type BackingFile,
  type ByteSource,
  type ResolvedSource,
  readBytes,
  type Siblings,
  type SourceVersion,
} from "./source/byte-source.ts";
export { type CacheLayout, cacheLayout, torchHubDirectory } from "./source/cache-layout.ts";
export { type CachedUrl, listCache } from "./source/cache-list.ts";
export { unlocked } from "./source/cache-lock.ts";
export { acquireLockFile } from "./source/cache-lock-file.ts";
export { acquireLockSocket } from "./source/cache-lock-socket.ts";
export {
  type CacheRemoval,
  type PruneOptions,
  pruneCache,
  removeFromCache,
  type VerifiedUrl,
  verifyCache,
} from "./source/cache-maintenance.ts";
export { ConnectionWindow } from "./source/connection-window.ts";
export { hashFile } from "./source/content-hash.ts";
export { addReadStats, countingSource, newReadStats, type ReadStats } from "./source/counting-source.ts";
export { directorySiblings, noSiblings, refuseUnsafeName } from "./source/directory-siblings.ts";
export { expectedDigest } from "./source/expected-digest.ts";
// Downloads and the cache
export type { FetchEvent, FetchListener, FetchProgress } from "./source/fetch-event.ts";
export type { FetchOptions } from "./source/fetch-options.ts";
export { type FetchedFile, fetchToCache } from "./source/fetch-to-cache.ts";
export { startFileJob } from "./source/file-job.ts";
export { type OpenFileOptions, openFile } from "./source/file-source.ts";
export { type HttpOptions, openHttpSession } from "./source/http-session.ts";
export { openHttp } from "./source/http-source.ts";
export { parseHttpUrl, readableName, redact, urlKey } from "./source/http-url.ts";
export { letGo } from "./source/let-go.ts";
export { resolveLocalPath } from "./source/local-path.ts";
export { makeDirectories } from "./source/make-directories.ts";
export { memorySource } from "./source/memory-source.ts";
export { openLocal, resolved } from "./source/open-local.ts";
export { PartQueue } from "./source/part-queue.ts";
export { isPrivateAddress } from "./source/private-addresses.ts";
export { processIdentity } from "./source/process-identity.ts";
export { ProgressMeter } from "./source/progress-meter.ts";
export { proxyFor } from "./source/proxy-rules.ts";
export { remoteVersion, strongValidator } from "./source/remote-version.ts";
export { parseRetryAfter, RetryPolicy } from "./source/retry-policy.ts";
export { SilenceWatch } from "./source/silence-watch.ts";
export { sliceSource } from "./source/slice-source.ts";
export { divertBody, TappedConnection } from "./source/tapped-connection.ts";
export { bindStateDict, bindTensors } from "./state-dict/bind-state-dict.ts";
export { extraTensors } from "./state-dict/extra-tensors.ts";
export { manifestFromStateDict } from "./state-dict/manifest-from-state-dict.ts";
// tensor
export { CAST_LOSSES } from "./tensor/cast-loss.ts";
export { convertElements, type ElementRun, isConvertible, requireConvertible } from "./tensor/convert.ts";
export { copyInto, gatherContiguous, gatherInto } from "./tensor/copy.ts";
export { type Loop, type LoopNest, planLoops, splitNest } from "./tensor/copy-loops.ts";
export { combineDigests, type DigestRow } from "./tensor/digest.ts";
export { elementBytes } from "./tensor/element-bytes.ts";
export { decodeTable, isSmallFloat, type SmallFloat } from "./tensor/float-bits.ts";
export { enforceMaterialisable, type MaterialiseLimits } from "./tensor/materialise.ts";
export { type Block, rowMajorBlocks, type StridedView } from "./tensor/strided-view.ts";
// topology
export { detectRank, requireIdentity } from "./topology/detect-rank.ts";
export type { DetectedRank, HeadAddress, LauncherName, ProcessVariables } from "./topology/detected-rank.ts";
export { type HostFacts, readHostFacts } from "./topology/host-facts.ts";
export { headOfPods } from "./topology/launchers/pods.ts";
export { isSettled, type RankIdentity, type UnsettledIdentity } from "./topology/rank-identity.ts";
export { rankRanges } from "./topology/rank-ranges.ts";
export { expandHostList, expandTaskCounts } from "./topology/slurm-lists.ts";
export {
  blockTopology,
  createTopology,
  identityOf,
  type NodeTopology,
  type RankSighting,
  type Topology,
  topologyDigest,
  topologyFromSightings,
} from "./topology/topology.ts";
// Transfer
export { ByteBudget } from "./transfer/byte-budget.ts";
export { type StorageRead, type TransferOptions, transferStorages } from "./transfer/transfer-storages.ts";
export { verifyStorages } from "./transfer/verify-storages.ts";
export { FileSink } from "./write/file-sink.ts";
export { PickleWriter } from "./write/pickle-writer.ts";
export { planSafetensors } from "./write/safetensors-plan.ts";
export { compareCodePoints, findSharedViews } from "./write/shared-views.ts";
export { planTorch } from "./write/torch-pickle.ts";
export { writeAtomically } from "./write/write-atomically.ts";
export { ZipWriter } from "./write/zip-writer.ts";
