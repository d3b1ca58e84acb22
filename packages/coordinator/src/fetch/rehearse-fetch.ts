/**
 * A fetch of a tiny checkpoint through the whole path, while ranks are being started: the first fetch of a process takes five times as long as the
 * second (code is compiled, doors are opened), and every rank waits for it.
 */
import { writeSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import type { FetchOptions } from "@rankcast/core";
import { importReaders, nativeMemory, readEnvironment, type SegmentDescriptor } from "@rankcast/core/runtime";
import { type FetchListener, fetchWeights } from "./fetch-weights.ts";

/** What torch 2.13's `torch.save` makes of an OrderedDict of three small float32 tensors, deflated. */
const CHECKPOINT =
  "rZVBb9MwFMfdtEvbbB0ddIwx4Fyk0SVt2nVD20SEcsmBrgiouIQsDU1E1sypOxinIdSJiQufgBPfgY/AeUggDhyQuMAJ8Q2w665z0m0tDEuWlci/9/8n7z27okVjACQSYG" +
  "CkwDRATnNnoW4gI7f1xFWVKfAwPHY50/Rc1zKR4zVbwh2/bvlW/bZjIgGC61UYydZI7E2v3natnAE5E3m+aef0NnLclqD71kbbces6spotz9e38wKMZrO1OGZaeKfRsGCM" +
  "IoLqega6S18KcKwWwXtEyNeieDW32jCuxRBMrGtA4zRuDybxEtmDwr5NfIwjOFGFKdbMBpy0sZYds2ksCZ6z4xqHYLobowOntEgHnqf8BQQzVTjN8ia8GODzcIbyl3r8LO" +
  "EvU34OwStVeLWdq2jxxIdvD35LGCGzcmICMjgF3QTkHnv+poH0bctv4b+sKsmjPEgk3vtfX18SB2SeHG8GLPfi9f6sbrhOo7lpNZGqlAZTO9IoycTA2lP4k8MS3KkGJoFC" +
  "DWzsIMsjlaIqq/+oezhcByHXIh46K99neazCn+phHNw6quoFUVVWzmYAgN01dhIn9zP2jzTWSg9xssg4kVSlAM6gT3TfrPOfiFBiiO4ao5tXlZvgP3z/6PoTYJXq98t5+Q" +
  "wGCgJRPnjbuDe8/uZAsdcA3U9vWb6DO+C5QY4u3amrivT3RsSyvCSXy2V5calUFOXyYqEoioUSHrJYKEtSEb9dkiWRuNx//aqRxT6yXZcRYrbvkz0SUgPOA+dwGGW7PxPA" +
  "XkTAsSdIOALbvjOBCAf9CANnRjgI23+TgSBVDoT6PsyyHTMeYD9zgO3XMMiWXBB8FGVBaXTwSwDMh0G21CYCYC0GAoUdJtn0zwXIj4fk8YVZ0Xh+vrf1WvRGH0uG1nmOrs" +
  "/G6Io5co+Cd3H6TK+HMZ4yye5+uvcP";

/** Used where it lies, and brought into memory with its checksums compared: each its own half of the code. */
const WAYS: readonly FetchOptions[] = [{ immutable: true, verify: false }, {}];
const SILENT: FetchListener = { onPhase: () => undefined, onBytes: () => undefined };

/** What one way gave; for tests, because a rehearsal that fails is silent. */
export interface Rehearsed {
  readonly kind: SegmentDescriptor["kind"] | undefined;
  readonly tensors: readonly string[];
}

/**
 * Fetches it; imports what a fetch needs where there is no memory to put it into. Leaves nothing behind and never rejects: what fails here fails
 * again where somebody is told.
 */
export async function rehearseFetch(): Promise<readonly Rehearsed[]> {
  await importReaders();
  const native = nativeMemory(readEnvironment().noMmap);
  if (!native || process.platform !== "linux") return [];
  const rehearsed: Rehearsed[] = [];
  try {
    const bytes = inflateRawSync(Buffer.from(CHECKPOINT, "base64"));
    const fd = native.createMemoryFile("rankcast", bytes.length, false);
    try {
      writeSync(fd, bytes);
      for (const options of WAYS) rehearsed.push(await fetchOnce(`/proc/self/fd/${fd}`, options));
    } finally {
      native.close(fd);
    }
  } catch {
    // The first load says what is wrong.
  }
  return rehearsed;
}

async function fetchOnce(path: string, options: FetchOptions): Promise<Rehearsed> {
  const fetched = await fetchWeights(path, options, SILENT, new AbortController().signal);
  try {
    await fetched.verify();
    return { kind: fetched.placed.segments[0]?.kind, tensors: fetched.manifest.tensors.map(({ name }) => name) };
  } finally {
    fetched.release();
  }
}
