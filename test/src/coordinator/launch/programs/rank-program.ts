/** What test ranks do: `<verb for rank 0> <verb for rank 1> ...`, the last one for all further ranks. */
import { spawn } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";

const rank = Number(process.env["RANK"]);
const attempt = Number(process.env["TORCHELASTIC_RESTART_COUNT"]);
const verbs = process.argv.slice(2);
const [verb = "", ...words] = (verbs[rank] ?? verbs.at(-1) ?? "exit:0").split(":");

const stay = () => setInterval(() => {}, 1000);

const ACTIONS: Record<string, () => void> = {
  exit: () => process.exit(Number(words[0] ?? 0)),
  throw: () => {
    throw Object.assign(new TypeError(words[0] ?? "bad shape", { cause: new Error("underneath") }), { code: "ERR_TEST" });
  },
  reject: () => void Promise.reject(new RangeError("nobody caught this")),
  kill: () => process.kill(process.pid, words[0] ?? "SIGKILL"),
  /** Says that it runs, then waits. */
  stay: () => {
    process.stdout.write(`rank ${rank} stays\n`);
    stay();
  },
  /** Ends well when asked to. */
  polite: () => {
    process.on("SIGTERM", () => process.exit(0));
    process.stdout.write(`rank ${rank} stays\n`);
    stay();
  },
  stubborn: () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => process.stdout.write(`rank ${rank} ignores ${signal}\n`));
    process.stdout.write(`rank ${rank} stays\n`);
    stay();
  },
  /** Never returns to the event loop. */
  busy: () => {
    process.stdout.write(`rank ${rank} stays\n`);
    setTimeout(() => {
      for (;;) {
        // Computes.
      }
    }, 20);
  },
  /** Leaves a child behind that notes its pid in a file and ignores what it can. */
  parent: () => {
    const child = spawn("/bin/sh", ["-c", "trap '' TERM; while :; do sleep 0.05; done"], { stdio: "ignore" });
    writeFileSync(words[0] ?? "", String(child.pid));
    child.unref();
    process.stdout.write(`rank ${rank} stays\n`);
    if (words[1] === "exit") process.exit(0);
    stay();
  },
  print: () => {
    process.stdout.write(`out ${rank} é\nlast ${rank}`);
    process.stderr.write(`err ${rank}\n`);
  },
  /** Writes a lot, faster than anybody reads it. */
  flood: () => {
    const line = "x".repeat(999);
    for (let count = 0; count < 5000; count += 1) process.stdout.write(`${line}\n`);
  },
  environment: () =>
    appendFileSync(words[0] ?? "", `${JSON.stringify({ env: process.env, argv: process.argv.slice(2), execArgv: process.execArgv })}\n`),
  /** Fails in the first attempts only. */
  flaky: () => process.exit(attempt < Number(words[0]) ? 5 : 0),
  /** A thread and a forked process, both with the preloaded module among their arguments. */
  helpers: () => {
    new Worker("process.exitCode = 0", { eval: true }).once("exit", (code) => {
      const child = spawn(process.execPath, [...process.execArgv, "-e", "process.send('hello'); process.disconnect()"], {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      });
      child.once("message", (message) => process.stdout.write(`thread ${code}, child says ${message}\n`));
    });
  },
};

(ACTIONS[verb] ?? (() => process.exit(99)))();
