/**
 * Notices side effects. Reading an input that is in memory has no business with files, processes, sockets, threads or code: from `arm` on,
 * every door to them only notes that it was tried.
 */
import childProcess from "node:child_process";
import dns from "node:dns";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import vm from "node:vm";
import worker from "node:worker_threads";

const attempts: string[] = [];

function close(name: string, module: object): void {
  const doors = module as Record<string, unknown>;
  for (const [door, value] of Object.entries(doors)) {
    if (typeof value !== "function" || Object.getOwnPropertyDescriptor(doors, door)?.writable !== true) continue;
    doors[door] = function closed(): never {
      attempts.push(`${name}.${door}`);
      throw new Error(`${name}.${door} was called`);
    };
  }
}

/** Closes the doors of this thread, for good. */
export function armEffectsWatch(): void {
  close("child_process", childProcess);
  close("fs.promises", fs.promises);
  close("fs", fs);
  for (const [name, module] of Object.entries({ net, http, https, dns, vm })) close(name, module);
  close("worker_threads", { Worker: worker.Worker });
  worker.Worker = class {} as unknown as typeof worker.Worker;
  syncBuiltinESMExports();
  globalThis.eval = () => {
    attempts.push("eval");
  };
  globalThis.fetch = () => {
    attempts.push("fetch");
    throw new Error("fetch was called");
  };
}

/** What was tried since the last call. */
export function takeEffects(): readonly string[] {
  return attempts.splice(0);
}
