/**
 * Distributed checkpoints whose ranks saved without talking to each other (`use_collectives=False`): no `.metadata`, but `__<rank>.metadata` of every
 * rank, which describes what that rank wrote. Together they are the checkpoint. Source: `torch/distributed/checkpoint/filesystem.py`.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import type { DcpItem, DcpMetadata } from "./dcp-metadata.ts";

/** Name of one rank's description; the rank is the first group. */
export const RANK_METADATA = /(?:^|[/\\])__(\d{1,9})\.metadata$/;

/** The other ranks' descriptions among the names beside one of them, by rank. */
export function otherRanks(names: readonly string[], own: string): readonly string[] {
  const rankOf = (name: string): number => Number(RANK_METADATA.exec(name)?.[1] ?? -1);
  return names
    .filter((name) => !name.includes("/") && rankOf(name) >= 0 && rankOf(name) !== rankOf(own))
    .sort((a, b) => rankOf(a) - rankOf(b));
}

/**
 * One description of all ranks': parts of a tensor are put together, a part or value that several ranks wrote is taken from the first.
 * @throws {FormatError} RANKCAST_DCP_METADATA when two ranks call different things by one name.
 */
export function mergeRanks(ranks: readonly DcpMetadata[], file: string): DcpMetadata {
  const items = new Map<string, DcpItem>();
  for (const { items: more } of ranks) {
    for (const item of more) {
      const known = items.get(item.name);
      items.set(item.name, known === undefined ? item : mergeItems(known, item, file));
    }
  }
  return {
    items: [...items.values()],
    paths: new Map(ranks.flatMap(({ paths }) => [...paths])),
    version: ranks.find(({ version }) => version !== null)?.version ?? null,
  };
}

function mergeItems(known: DcpItem, item: DcpItem, file: string): DcpItem {
  if (known.type === "value" && item.type === "value") return known;
  const isSame =
    known.type === "tensor" && item.type === "tensor" && known.dtype === item.dtype && known.shape.join() === item.shape.join();
  if (!isSame) {
    throw new FormatError("RANKCAST_DCP_METADATA", `${printable(file)}: two ranks call different things ${quote(item.name)}`, {
      details: { file, key: item.name },
    });
  }
  const places = new Set(known.parts.map(({ offsets, sizes }) => `${offsets}/${sizes}`));
  return { ...known, parts: [...known.parts, ...item.parts.filter(({ offsets, sizes }) => !places.has(`${offsets}/${sizes}`))] };
}
