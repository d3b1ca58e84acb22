/** Names that only the sister packages may use (imported as `@rankcast/core/runtime`): what ranks and coordinators run on. No promise of stability. */

export type { BarrierDecision, FailDecision } from "./barrier/barrier-decision.ts";
export { decisionError } from "./barrier/barrier-error.ts";
export type { ArrivalOutcome, BarrierEvent, MemberPlace } from "./barrier/barrier-event.ts";
export type { BarrierInstruction } from "./barrier/barrier-instruction.ts";
export { createBarrierState } from "./barrier/barrier-state.ts";
export { BarrierRun } from "./barrier/step-barrier.ts";
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
export { rehearseChecksums } from "./checksum/checksum-crew.ts";
export { crc32, prepareCrc32 } from "./checksum/crc32.ts";
export { applyDelta } from "./delta/apply-delta.ts";
export { type ByteRun, type ByteRuns, blocksOf, noPages, type PageMap } from "./delta/delta-format.ts";
export { type EncodedDelta, encodeDelta } from "./delta/encode-delta.ts";
export { readEnvironment } from "./environment/environment.ts";
export { readToken } from "./environment/read-token.ts";
export { asCheckpointError, describeError, type ErrorRecord, fromErrorRecord, toErrorRecord } from "./errors/error-record.ts";
export { describeThrown } from "./errors/foreign-errors.ts";
export { checkOptionNames } from "./errors/option-names.ts";
export { printable, quote } from "./errors/quote.ts";
export {
  DURATION_MS,
  describeFound,
  FLAG,
  FUNCTION,
  OBJECT,
  type OptionShape,
  type OptionShapes,
  oneOf,
  PORT,
  requireArgument,
  requireOptions,
  SIGNAL,
  TEXT,
  TEXTS,
  TEXTS_BY_NAME,
  wholeNumber,
} from "./errors/require-options.ts";
export {
  createLeaseState,
  type LeasedPublication,
  type LeaseInstruction,
  type LeaseState,
  type SubscriptionPolicy,
} from "./lease/lease-state.ts";
export { stepLeases } from "./lease/step-leases.ts";
export type { OpenOptions } from "./load/begin-weights.ts";
export { compareOnce } from "./load/compare-once.ts";
export { importReaders } from "./load/import-readers.ts";
export { type OpenedWeights, openWeights } from "./load/open-weights.ts";
export { FETCH_OPTIONS } from "./load/option-names.ts";
export { requireFetchOptions } from "./load/require-fetch-options.ts";
export { isAsItArrived, type StorageArrivals } from "./load/storage-arrivals.ts";
export { copyStorage } from "./manifest/copy-storage.ts";
export type { StateDictManifest } from "./manifest/manifest.ts";
export { decodeManifest, encodeManifest } from "./manifest/manifest-codec.ts";
export { extraStateDigest, layoutDigest, manifestDigest } from "./manifest/manifest-digest.ts";
export { isMeetingDirectory, makePrivateBase, meetingName, meetingPath } from "./meeting/meeting-directory.ts";
export { isAbandoned, livingOwner, type OwnedDirectory, ownDirectory, ownerTagIn } from "./meeting/own-directory.ts";
export { attachStorages } from "./memory/attach-storages.ts";
export { createMemorySegment, createRewritableSegment, type MemorySegment } from "./memory/memory-segment.ts";
export { MemoryMeter, type MemoryUse, readMemoryUse, readPeakRssBytes, recentPeakRssBytes } from "./memory/memory-use.ts";
export { type NativeMemory, nativeMemory } from "./memory/native-memory.ts";
export type { MappedBytes } from "./memory/private-mapping.ts";
export { rehearsePageReads } from "./memory/private-mapping.ts";
export type { SegmentDescriptor, StoragePlacement } from "./memory/segment.ts";
export { openSegmentBytes, type SegmentBytes } from "./memory/segment-bytes.ts";
export { TensorCopier, type TensorCopy } from "./memory/tensor-copier.ts";
export { createWrittenSegment, type WrittenSegment } from "./memory/written-segment.ts";
export { Adoption } from "./module/adoption.ts";
export { castWish } from "./module/cast-wish.ts";
export { commitStateDict, stageStateDict } from "./module/commit-state-dict.ts";
export { KeyedModule } from "./module/keyed-module.ts";
export { LOAD_STATE_DICT_OPTIONS } from "./module/load-options.ts";
export { looksAtSources } from "./module/looks-at-sources.ts";
export { moduleTree } from "./module/module-tree.ts";
export { orderWish } from "./module/order-wish.ts";
export { planStateDict } from "./module/plan-state-dict.ts";
export type { PlannedKey } from "./module/planned-key.ts";
export { markRewritten } from "./module/planned-key.ts";
export { requireModule } from "./module/require-module.ts";
export type { StateDictPlan } from "./module/state-dict-plan.ts";
export { castedCopy } from "./module/write-tensor.ts";
export type { LoadPlan } from "./plan/load-plan.ts";
export { planLoad } from "./plan/plan-load.ts";
export { jobOutcomeError, nodeFailureError, nodeRefusalError } from "./rendezvous/rendezvous-error.ts";
export type { NodeAnnouncement, RendezvousEvent } from "./rendezvous/rendezvous-event.ts";
export type { RendezvousInstruction } from "./rendezvous/rendezvous-instruction.ts";
export { createRendezvousState, type MemberNode, type Membership, type RendezvousState } from "./rendezvous/rendezvous-state.ts";
export { stepRendezvous } from "./rendezvous/step-rendezvous.ts";
export { buildSegments } from "./segment/build-segments.ts";
export { type CastPlaces, type CastRun, castRuns, cutCast } from "./segment/cast-storages.ts";
export { flattenPlacements, type PlacedSegments, type SegmentReuse, unflattenPlacements } from "./segment/describe-placement.ts";
export { castPlacements, type PlacedCasts, placeCasts, planCasts } from "./segment/plan-casts.ts";
export { planSharedReads } from "./segment/plan-shared-reads.ts";
export { planStripes, type StripePlan } from "./segment/plan-stripes.ts";
export { verifySegments } from "./segment/verify-segments.ts";
export { addReadStats, newReadStats, type ReadStats } from "./source/counting-source.ts";
export { resolveLocalPath } from "./source/local-path.ts";
export { makeDirectories } from "./source/make-directories.ts";
export { uniqueTag } from "./source/process-identity.ts";
export { StoppedWatch } from "./source/stopped-watch.ts";
export { bindStateDict } from "./state-dict/bind-state-dict.ts";
export { extraTensors } from "./state-dict/extra-tensors.ts";
export { manifestFromStateDict, type OrderWish } from "./state-dict/manifest-from-state-dict.ts";
export { allocateShared } from "./tensor/allocate-buffer.ts";
export { copyInto } from "./tensor/copy.ts";
export { bytesOf } from "./tensor/dtype.ts";
export { isContiguous } from "./tensor/strides.ts";
export { detectRank, requireIdentity } from "./topology/detect-rank.ts";
export type { DetectedRank, ProcessVariables } from "./topology/detected-rank.ts";
export { type HostFacts, readHostFacts } from "./topology/host-facts.ts";
export type { RankIdentity } from "./topology/rank-identity.ts";
export { rankRanges } from "./topology/rank-ranges.ts";
export { createTopology, identityOf, type Topology } from "./topology/topology.ts";
export { saveError } from "./write/save-error.ts";
