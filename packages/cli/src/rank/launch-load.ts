/** The launcher's side of `rankcast load`: coordinator in this process, one process per rank. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CoordinatorEvent, startCoordinator } from "@rankcast/coordinator";
import { LoadReport } from "@rankcast/core";
import { allVariables } from "../environment/environment.ts";
import { type LoadRequest, writeLoadRequest } from "./load-request.ts";

/** How to launch. */
export interface LaunchLoadOptions {
  readonly launch: { readonly nprocPerNode: number };
  readonly barrierTimeoutMs?: number;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

/** Runs the load; @throws {CheckpointError} the root cause when any rank fails. */
export async function launchLoad(request: LoadRequest, options: LaunchLoadOptions): Promise<{ report: LoadReport; updates: LoadReport[] }> {
  const directory = mkdtempSync(join(tmpdir(), "rankcast-"));
  const reports: LoadReport[] = [];
  let failure: Error | null = null;
  const worldSize = options.launch.nprocPerNode;
  const coordinator = await startCoordinator({
    worldSize,
    jobId: "load",
    ...(options.barrierTimeoutMs === undefined ? {} : { barrierTimeoutMs: options.barrierTimeoutMs }),
    onEvent: (event) => {
      if (event.type === "report") reports.push(new LoadReport(event.report));
      if (event.type === "failed") failure ??= event.error;
      options.onEvent(event);
    },
  });
  try {
    writeFileSync(join(directory, "token"), coordinator.token, { mode: 0o600 });
    writeLoadRequest(join(directory, "request"), request);
    const codes = await Promise.all(
      Array.from({ length: worldSize }, (_, rank) => {
        const child = spawn(process.execPath, [fileURLToPath(new URL("./rank-main.js", import.meta.url))], {
          stdio: ["ignore", "ignore", "inherit"],
          env: {
            ...allVariables(),
            RANKCAST_COORDINATOR: coordinator.address,
            RANKCAST_TOKEN_FILE: join(directory, "token"),
            RANKCAST_LOAD_REQUEST: join(directory, "request"),
            TORCHELASTIC_RUN_ID: "load",
            RANK: String(rank),
            LOCAL_RANK: String(rank),
            WORLD_SIZE: String(worldSize),
            LOCAL_WORLD_SIZE: String(worldSize),
            GROUP_RANK: "0",
          },
        });
        return new Promise<number | null>((resolve) => child.once("exit", resolve));
      }),
    );
    if (failure) throw failure;
    const [report, ...updates] = reports;
    if (!report) throw new Error(`ranks ended with ${codes}`);
    return { report, updates };
  } finally {
    await coordinator.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
