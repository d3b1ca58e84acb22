/** `rankcast doctor`: what this machine offers and what would be in the way. */
import type { Command } from "commander";
import type { DoctorFinding } from "./examine.ts";

/** Adds the verb. */
export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .summary("Node, shared memory, limits, proxies, optional parts, detected launcher")
    .option("--json", "print one JSON document on stdout")
    .action(async (flags: { readonly json?: boolean }) => {
      // It looks at what ranks and coordinators run on, which the help does not need.
      const { examine } = await import("./examine.ts");
      const findings = examine();
      process.stdout.write(flags.json ? `${JSON.stringify({ findings })}\n` : render(findings));
      if (findings.some((finding) => finding.status === "problem")) process.exitCode = 1;
    });
}

function render(findings: readonly DoctorFinding[]): string {
  const width = Math.max(...findings.map((finding) => finding.name.length));
  const lines = findings.flatMap((finding) => [
    `${finding.status === "ok" ? "ok     " : finding.status === "note" ? "note   " : "PROBLEM"} ${finding.name.padEnd(width)}  ${finding.found}`,
    ...(finding.remedy ? [`${" ".repeat(width + 10)}${finding.remedy}`] : []),
  ]);
  return `${lines.join("\n")}\n`;
}
