/** Optional peers: libraries that a program installs itself when it wants their adapter. */
import { DistributionError } from "@rankcast/core";

/**
 * The library that `load` imports.
 * @throws {DistributionError} RANKCAST_ADAPTER_PEER when it is not installed, or is but cannot be imported (then with its own error as cause).
 */
export async function importPeer<T>(adapter: string, peer: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as { readonly code?: unknown; readonly message?: unknown };
    const missing = code === "ERR_MODULE_NOT_FOUND" && String(message).includes(peer);
    const what = missing ? "which is not installed" : `which cannot be imported: ${String(message)}`;
    throw new DistributionError("RANKCAST_ADAPTER_PEER", `@rankcast/worker/${adapter} needs ${peer}, ${what}`, {
      details: { adapter, peer },
      cause,
      ...(missing ? { remedy: `Run: npm install ${peer}` } : {}),
    });
  }
}
