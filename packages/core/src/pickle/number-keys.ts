/**
 * A guard against numbers chosen to collide. JavaScript engines hash strings with a secret but numbers without one, so a file can fill one
 * bucket of a Map with a hundred thousand keys, and reading it takes minutes. This counts the keys of one dict by the low bits of V8's own
 * hash: honest keys spread, chosen ones do not. Fact source: V8 `src/utils/utils.h`, `ComputeUnseededHash` and `ComputeLongHash`.
 */

import type { PickleCall } from "./known-global.ts";

const BUCKETS = 4096;
/** Below this many keys even the worst choice costs nothing. */
export const GUARDED_KEYS_MIN = 512;

/** Counts the number keys of one Map. */
export class NumberKeyGuard {
  private readonly loads = new Uint32Array(BUCKETS);
  private readonly call: PickleCall;
  private count = 0;

  constructor(call: PickleCall) {
    this.call = call;
    call.charge(BUCKETS * 4);
  }

  /**
   * Counts `key`. Honest keys fill buckets like thrown balls: four times the mean and the limit on top has no chance.
   * @throws {FormatError} RANKCAST_LIMIT when too many keys share its bucket.
   */
  add(key: number | bigint): void {
    const bucket = (typeof key === "number" && Object.is(key | 0, key) ? hashInteger(key) : hashLong(key)) & (BUCKETS - 1);
    const load = (this.loads[bucket] as number) + 1;
    this.loads[bucket] = load;
    this.count += 1;
    if (load > this.call.limits.collidingNumberKeys + (4 * this.count) / BUCKETS) {
      const text = `${load} of ${this.count} number keys have one hash; the limit is collidingNumberKeys = ${this.call.limits.collidingNumberKeys} above chance`;
      throw this.call.refuse("RANKCAST_LIMIT", text, { limit: "collidingNumberKeys", found: load });
    }
  }
}

function hashInteger(key: number): number {
  let hash = (~key + (key << 15)) | 0;
  hash ^= hash >>> 12;
  hash = (hash + (hash << 2)) | 0;
  hash ^= hash >>> 4;
  hash = Math.imul(hash, 2057);
  hash ^= hash >>> 16;
  return hash;
}

const BITS = new DataView(new ArrayBuffer(8));

/** Numbers that are no 32-bit integers hash by the 64 bits of the double; big integers by their lowest digit. */
function hashLong(key: number | bigint): number {
  if (typeof key === "bigint") BITS.setBigUint64(0, BigInt.asUintN(64, key < 0n ? -key : key));
  else BITS.setFloat64(0, key);
  let hash = BITS.getBigUint64(0);
  const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
  hash = wrap(~hash + (hash << 18n));
  hash ^= hash >> 31n;
  hash = wrap(hash * 21n);
  hash ^= hash >> 11n;
  hash = wrap(hash + (hash << 6n));
  hash ^= hash >> 22n;
  return Number(hash & 0x3fffffffn);
}
