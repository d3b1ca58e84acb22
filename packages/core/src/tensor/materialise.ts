/** The guard against small files that describe huge tensors. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits/limits.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { elementCount } from "./strides.ts";

/** The two limits that bound one tensor written out. */
export type MaterialiseLimits = Pick<Limits, "materialisedRatio" | "materialisedBytesFloor">;

/**
 * Refuses to write out a tensor that is much larger than the bytes behind it: strides of 0 make 4 TiB out of 48 bytes, legally.
 * Call it before any work that is proportional to the logical size (copy, cast, digest).
 * @throws {FormatError} RANKCAST_LIMIT when the tensor is above `materialisedBytesFloor` and above `materialisedRatio` times its storage.
 */
export function enforceMaterialisable(
  view: { readonly dtype: DType; readonly shape: readonly number[]; readonly storage: { readonly nbytes: number } },
  limits: MaterialiseLimits = DEFAULT_LIMITS,
): void {
  const nbytes = bytesOf(view.dtype, elementCount(view.shape));
  const allowed = Math.max(limits.materialisedBytesFloor, limits.materialisedRatio * view.storage.nbytes);
  if (nbytes <= allowed) return;
  throw new FormatError(
    "RANKCAST_LIMIT",
    `${view.dtype} [${view.shape.join(", ")}] needs ${nbytes} bytes written out but has ${view.storage.nbytes} bytes behind it, ` +
      `more than materialisedRatio = ${limits.materialisedRatio} allows above materialisedBytesFloor = ${limits.materialisedBytesFloor}`,
    {
      details: {
        limit: "materialisedRatio",
        allowed,
        found: nbytes,
        raiseTo: nbytes / Math.max(view.storage.nbytes, 1),
        dtype: view.dtype,
        shape: view.shape,
        storageBytes: view.storage.nbytes,
      },
    },
  );
}
