/** `torchvision://` and the older `modelzoo://`. */
import type { ResolvedSource } from "../source/byte-source.ts";
import { openRemote } from "./open-remote.ts";
import { notice, type ResolveOptions, settleOptions } from "./resolve-context.ts";
import { resolveTorchvision } from "./torchvision-names.ts";

/**
 * Opens `torchvision://<name>` (or the older `modelzoo://<name>`). Tables and mirrors of the options come first.
 * @throws {SourceError} RANKCAST_MODEL_UNKNOWN; as `fetchToCache`.
 */
export async function loadFromTorchvision(uri: string, options: ResolveOptions = {}): Promise<ResolvedSource> {
  const context = settleOptions(options);
  const [scheme = "", name = ""] = uri.split(/(?<=:\/\/)/, 2);
  if (scheme === "modelzoo://") {
    notice(context, "RANKCAST_DEPRECATED", 'The URL scheme of "modelzoo://" is deprecated, please use "torchvision://" instead');
  }
  const own = context.tables?.torchvision ?? {};
  if (Object.hasOwn(own, name)) return openRemote(own[name] ?? "", context);
  const weights = resolveTorchvision(name);
  if (weights.notice !== undefined) notice(context, "RANKCAST_DEPRECATED", weights.notice);
  return openRemote(weights.url, context, { tablePrefix: { prefix: weights.sha256Prefix, enforced: weights.enforced } });
}
