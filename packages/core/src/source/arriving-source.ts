/**
 * A download as a source that is read while it arrives: reads of bytes that are here are served from the partial file, others wait. Once the file
 * is complete, verified and in its place, the source is that file.
 */
import { type FileHandle, open } from "node:fs/promises";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { ByteRange } from "./byte-range.ts";
import type { Arrival, BackingFile, ByteSource, SourceVersion } from "./byte-source.ts";
import { truncated, unreadable } from "./file-source.ts";
import type { PartialFile } from "./partial-file.ts";
import type { PartialWatcher } from "./partial-watcher.ts";
import type { RemoteVersion } from "./remote-version.ts";

/** Fetches a file: tells `watcher` how it arrives, stops with `signal`, and gives the complete file. */
export type FetchArriving = (watcher: PartialWatcher, signal: AbortSignal) => Promise<ByteSource>;

/**
 * Starts `fetch` and gives its file as soon as the first bytes of it are on their way, or the complete file when nothing has to be downloaded (or
 * its size is not known before its end). Closing the source early stops the download.
 * @throws what `fetch` throws before the first bytes.
 */
export function openArriving(name: string, fetch: FetchArriving): Promise<ByteSource> {
  const stop = new AbortController();
  return new Promise((resolve, reject) => {
    const watch = new ArrivalWatch(name, (remote) => {
      resolve(new ArrivingSource(name, remote, watch, fetched, stop));
    });
    const fetched = fetch(watch, stop.signal);
    // Nobody who asked before the first bytes gets an arriving source; later ones are told by it.
    fetched.then(resolve, (error: unknown) => {
      watch.fail(error);
      reject(error);
    });
  });
}

function begunAnew(name: string): SourceError {
  return new SourceError("RANKCAST_SOURCE_CHANGED", `${printable(name)}: the download began anew while it was read`, {
    details: { file: name },
  });
}

interface Waiter extends ByteRange {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What is known of the partial file, and who waits for which of its bytes. */
class ArrivalWatch implements PartialWatcher {
  /** Bytes were dropped after somebody could have read them. */
  restarted = false;
  partial: PartialFile | null = null;
  readonly #name: string;
  readonly #onFirst: (remote: RemoteVersion) => void;
  readonly #waiters = new Set<Waiter>();
  readonly #listeners = new Set<() => void>();
  readonly #growth = new Set<() => void>();
  #begun = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(name: string, onFirst: (remote: RemoteVersion) => void) {
    this.#name = name;
    this.#onFirst = onFirst;
  }

  begun(partial: PartialFile): void {
    if (this.restarted || partial.remote === null) return;
    // A second partial file: what arrived in the first one was refused.
    if (this.#begun && partial !== this.partial) this.dropped();
    else if (!this.#begun) {
      this.#begun = true;
      this.partial = partial;
      this.#onFirst(partial.remote);
    }
  }

  grown(): void {
    for (const each of this.#waiters) {
      if ((this.partial?.bytesAt(each.begin) ?? 0) < each.end - each.begin) continue;
      this.#waiters.delete(each);
      each.resolve();
    }
    for (const listener of this.#growth) listener();
  }

  onGrown(listener: () => void): () => void {
    this.#growth.add(listener);
    return () => void this.#growth.delete(listener);
  }

  dropped(): void {
    if (!this.#begun) return;
    this.restarted = true;
    this.partial = null;
    this.#refuseWaiters(begunAnew(this.#name));
  }

  awaits({ begin, end }: ByteRange): boolean {
    for (const each of this.#waiters) if (each.begin < end && begin < each.end) return true;
    return false;
  }

  onAwaited(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits until a range is there, or the file is complete. */
  wait({ begin, end }: ByteRange, signal: AbortSignal): Promise<void> {
    if ((this.partial?.bytesAt(begin) ?? 0) >= end - begin) return Promise.resolve();
    if (this.#failure !== null) return Promise.reject(this.#failure.error);
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const cancel = (): void => {
        this.#waiters.delete(waiter);
        reject(signal.reason);
      };
      const settled = (action: () => void) => (): void => {
        signal.removeEventListener("abort", cancel);
        action();
      };
      const waiter: Waiter = { begin, end, resolve: settled(resolve), reject: (error) => settled(() => reject(error))() };
      signal.addEventListener("abort", cancel, { once: true });
      this.#waiters.add(waiter);
      for (const listener of this.#listeners) listener();
    });
  }

  /** The file is complete: nobody waits any more. */
  end(): void {
    for (const each of this.#waiters) each.resolve();
    this.#waiters.clear();
  }

  /** The download failed. */
  fail(error: unknown): void {
    this.#failure = { error };
    this.#refuseWaiters(error);
  }

  #refuseWaiters(error: unknown): void {
    for (const each of this.#waiters) each.reject(error);
    this.#waiters.clear();
  }
}

class ArrivingSource implements ByteSource {
  readonly name: string;
  readonly arrival: Arrival;
  readonly #remote: RemoteVersion;
  readonly #watch: ArrivalWatch;
  readonly #fetched: Promise<ByteSource>;
  readonly #stop: AbortController;
  #complete: ByteSource | null = null;
  #handle: Promise<FileHandle> | null = null;

  constructor(name: string, remote: RemoteVersion, watch: ArrivalWatch, fetched: Promise<ByteSource>, stop: AbortController) {
    this.name = name;
    this.#remote = remote;
    this.#watch = watch;
    this.#fetched = fetched;
    this.#stop = stop;
    const complete = fetched.then((source) => this.#settle(source));
    complete.catch(() => undefined);
    this.arrival = {
      complete,
      get restarted() {
        return watch.restarted;
      },
      get path() {
        return watch.partial?.path ?? null;
      },
      onGrown: (listener) => watch.onGrown(listener),
      bytesAt: (offset) => (this.#complete ? this.sizeBytes - offset : (watch.partial?.bytesAt(offset) ?? 0)),
    };
  }

  get sizeBytes(): number {
    return this.#complete?.sizeBytes ?? this.#remote.sizeBytes;
  }

  get version(): SourceVersion {
    const { sizeBytes, etag } = this.#remote;
    return this.#complete?.version ?? { sizeBytes, ...(etag === undefined ? {} : { etag }) };
  }

  get file(): BackingFile | undefined {
    return this.#complete?.file;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const end = offset + target.length;
    if (end > this.sizeBytes) throw truncated(this.name, offset, target.length, Math.max(0, this.sizeBytes - offset), this.sizeBytes);
    if (this.#complete === null && target.length > 0) {
      const stop = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
      await this.#watch.wait({ begin: offset, end }, stop);
      if (await this.#readPartial(target, offset)) return;
    }
    if (this.#complete === null) throw begunAnew(this.name);
    await this.#complete.readInto(target, offset, signal);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const source = await this.#fetched.catch(() => null);
    await this.#closeHandle();
    await source?.close();
  }

  #settle(source: ByteSource): Promise<void> {
    this.#complete = source;
    this.#watch.end();
    return this.#closeHandle();
  }

  /** Reads bytes that are in the partial file. False when it has become the complete one meanwhile. */
  async #readPartial(target: Uint8Array, offset: number): Promise<boolean> {
    const { partial } = this.#watch;
    if (this.#complete !== null || partial === null) return false;
    this.#handle ??= open(partial.path, "r");
    try {
      const handle = await this.#handle;
      let done = 0;
      for (let bytesRead = -1; bytesRead !== 0 && done < target.length; done += bytesRead) {
        ({ bytesRead } = await handle.read(target, done, target.length - done, offset + done));
      }
      // Only a file that was cut meanwhile has fewer bytes than it had.
      if (done < target.length) throw truncated(this.name, offset, target.length, done, this.sizeBytes);
      return true;
    } catch (error) {
      // The descriptor was closed under this read.
      if (this.#complete !== null) return false;
      throw error instanceof SourceError ? error : unreadable(partial.path, error);
    }
  }

  async #closeHandle(): Promise<void> {
    const handle = await this.#handle?.catch(() => null);
    this.#handle = null;
    await handle?.close();
  }
}
