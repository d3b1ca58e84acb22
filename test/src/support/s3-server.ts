/** S3rver, an S3-compatible server from the npm registry that computes signatures by itself and keeps objects in a directory. */
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";

interface RunningServer {
  run(): Promise<AddressInfo>;
  close(): Promise<void>;
  /** A koa application: it sees every request before the server does. */
  middleware: ((context: { method: string; url: string; headers: Record<string, string> }, next: () => Promise<void>) => Promise<void>)[];
}

interface ServerOptions {
  readonly address: string;
  readonly port: number;
  readonly silent: boolean;
  readonly directory: string;
  /** Only names below this host are buckets. */
  readonly serviceEndpoint: string;
  readonly configureBuckets: readonly { readonly name: string }[];
}

/** The only keys it knows. */
export const S3_KEYS = { id: "S3RVER", secret: "S3RVER" } as const;

export interface S3Server {
  readonly url: string;
  /** What it was asked for, in order. */
  readonly requests: { readonly method: string; readonly url: string; readonly authorization: string | undefined }[];
  put(bucket: string, key: string, bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export async function startS3Server(directory: string, buckets: readonly string[]): Promise<S3Server> {
  // CommonJS without types.
  const Server = createRequire(import.meta.url)("@20minutes/s3rver") as new (options: ServerOptions) => RunningServer;
  const server = new Server({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory,
    serviceEndpoint: "s3.localhost",
    configureBuckets: buckets.map((name) => ({ name })),
  });
  const requests: { method: string; url: string; authorization: string | undefined }[] = [];
  server.middleware.unshift(async ({ method, url, headers }, next) => {
    if (method !== "PUT") requests.push({ method, url, authorization: headers["authorization"] });
    await next();
  });
  const { port } = await server.run();
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    requests,
    async put(bucket, key, bytes) {
      const path = key.split("/").map(encodeURIComponent).join("/");
      // Requests without a signature are anonymous, and this server lets them in.
      const answer = await fetch(`${url}/${bucket}/${path}`, {
        method: "PUT",
        body: new Uint8Array(bytes),
        headers: { connection: "close" },
      });
      if (answer.status !== 200) throw new Error(`PUT ${key}: ${answer.status} ${await answer.text()}`);
    },
    close: () => server.close(),
  };
}
