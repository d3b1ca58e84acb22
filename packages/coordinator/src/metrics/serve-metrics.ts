/** `GET /metrics` on a port of its own: loopback unless a host is named, no other path, nothing that could change anything. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DistributionError } from "@rankcast/core";
import type { CoordinatorEvent } from "../node/coordinator-event.ts";

/** Where metrics are served. */
export interface MetricsServer {
  /** For scrapers: `http://127.0.0.1:9464/metrics`. */
  readonly url: string;
  /** Counts what the coordinator says. */
  take(event: CoordinatorEvent): void;
  close(): Promise<void>;
}

const HOST = "127.0.0.1";
const VERSION = "0.1.0";
/** Scrapers are few; more is a mistake or worse. */
const CONNECTIONS_MAX = 32;

/**
 * Starts serving; port 0 finds a free one.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the port cannot be bound.
 */
export async function serveMetrics(port: number, host = HOST): Promise<MetricsServer> {
  // Only who asks for metrics pays for the library.
  const { JobMetrics } = await import("./job-metrics.ts");
  const metrics = new JobMetrics(VERSION);
  const server = createServer((request, response) => {
    const isScrape = request.method === "GET" && (request.url === "/metrics" || request.url?.startsWith("/metrics?") === true);
    if (!isScrape) {
      response.writeHead(404).end();
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { "content-type": metrics.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const text = `cannot serve metrics on ${host}:${port}`;
      reject(
        new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", text, { details: { host, port }, cause, remedy: "Choose another port." }),
      );
    });
    server.listen(port, host, resolve);
  });
  // A scraper must not keep a job alive that is over.
  server.unref();
  const bound = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound.port}/metrics`,
    take: (event) => metrics.take(event),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
