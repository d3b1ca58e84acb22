/**
 * What a coordinator's events come to, as Prometheus sees it. Names start with `rankcast_`; labels have few values, whatever a job does: no label
 * per process, path or name. The only file that knows prom-client.
 */
import type { LoadReportFields } from "@rankcast/core";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { CoordinatorEvent } from "../node/coordinator-event.ts";

/** From a policy of a few KiB to hundreds of gigabytes from a slow origin. */
const ROUND_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

/** See the module comment. */
export class JobMetrics {
  readonly #registry = new Registry();
  readonly #ranks = this.#counter("ranks_total", "ranks that joined, left in order, or were lost", ["event"]);
  readonly #rounds = this.#counter("rounds_total", "collective loads and updates by result", ["result"]);
  readonly #origin = this.#counter("origin_bytes_total", "bytes of origins: needed, and read (over-read and retries included)", ["what"]);
  readonly #requests = this.#counter("origin_requests_total", "requests to origins, and those that were repeats", ["what"]);
  readonly #cacheHits = this.#counter("cache_hits_total", "files that were in the download cache", []);
  readonly #broadcast = this.#counter("broadcast_bytes_total", "bytes sent to each other node", ["encoding"]);
  readonly #publications = this.#counter("publications_total", "versions published without waiting", []);
  readonly #refused = this.#counter("connections_refused_total", "connections turned away at the port for other nodes", ["reason"]);
  readonly #seconds = new Histogram({
    name: "rankcast_round_seconds",
    help: "from all replicas built to every rank released",
    buckets: ROUND_SECONDS,
    registers: [this.#registry],
  });
  readonly #generation = this.#gauge("generation", "version of the weights that every rank has; -1 before the first load");
  readonly #shared = this.#gauge("shared_bytes", "shared memory and mapped files of the last round, over all nodes");
  readonly #behind = this.#gauge("subscription_behind_max", "versions between the newest publication and the slowest subscriber");
  readonly #held = this.#gauge("publications_held", "published versions that somebody may look at");

  constructor(version: string) {
    const build = new Gauge({ name: "rankcast_build_info", help: "always 1", labelNames: ["version"], registers: [this.#registry] });
    build.set({ version }, 1);
    this.#generation.set(-1);
  }

  /** Takes what the coordinator says. */
  take(event: CoordinatorEvent): void {
    switch (event.type) {
      case "rank":
        if (event.phase === "joined" || event.phase === "left" || event.phase === "lost") this.#ranks.inc({ event: event.phase });
        return;
      case "report":
        this.#report(event.report);
        return;
      case "failed":
        this.#rounds.inc({ result: "error" });
        return;
      case "live":
        if (event.published) this.#publications.inc();
        this.#behind.set(event.behindMax);
        this.#held.set(event.held);
        return;
      case "refused":
        for (const { reason, count } of event.refusals) this.#refused.inc({ reason }, count);
        return;
      case "phase":
      case "bytes":
        return;
    }
  }

  /** The text that a scrape gets. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** The text's media type. */
  get contentType(): string {
    return this.#registry.contentType;
  }

  #report({ generation, timings, origin, broadcast, memory }: LoadReportFields): void {
    this.#rounds.inc({ result: "ok" });
    this.#seconds.observe(timings.totalMs / 1000);
    this.#generation.set(generation);
    this.#origin.inc({ what: "needed" }, origin.bytesNeeded);
    this.#origin.inc({ what: "read" }, origin.bytesRead);
    this.#requests.inc({ what: "all" }, origin.requests);
    this.#requests.inc({ what: "retry" }, origin.retries);
    this.#cacheHits.inc(origin.cacheHits);
    if (broadcast) this.#broadcast.inc({ encoding: broadcast.encoding }, broadcast.bytes);
    this.#shared.set(memory.sharedBytes);
  }

  #counter(name: string, help: string, labelNames: string[]): Counter {
    return new Counter({ name: `rankcast_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name: `rankcast_${name}`, help, registers: [this.#registry] });
  }
}
