/** What the comparison found, as people read it: Markdown tables, and the line that says where the figures come from. */
import { PEERS_MODES } from "./peers-mode.js";
import { type PeersGap, type PeersResults, type PeersRow, sizeOf } from "./peers-results.js";

const SHOWN_MIB = 1024;

/** One table per size: that of 1 GiB (else the largest) open, the others to be unfolded. */
export function renderPeersTables({ rows, gaps }: Pick<PeersResults, "rows" | "gaps">): string {
  const sizes = [...new Set(rows.map(sizeOf))].sort((a, b) => a - b);
  const open = sizes.includes(SHOWN_MIB) ? SHOWN_MIB : sizes.at(-1);
  const folded = sizes.filter((size) => size !== open);
  return [
    ...(open === undefined ? [] : [renderTable(rows, gaps, open)]),
    ...folded.map((size) => `<details><summary>${sizeName(size)}</summary>\n\n${renderTable(rows, gaps, size)}\n\n</details>`),
  ].join("\n\n");
}

/** Where the figures come from. */
export function renderPeersNote({ machine, python, rows }: Pick<PeersResults, "machine" | "python" | "rows">): string {
  const commits = [...new Set(rows.map(({ commit }) => commit))];
  const torch = python === null ? [] : [`torch ${python.torch}${python.mmap === "by hand" ? ", its mapping done by hand" : ""}`];
  const safetensors = python?.safetensors ? [`safetensors ${python.safetensors}`] : [];
  const memory = `${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB`;
  const parts = [machine.cpu, `${machine.cores} cores`, memory, `Node ${machine.node}`, ...torch, ...safetensors];
  return `${parts.join(", ")}; commit${commits.length === 1 ? "" : "s"} ${commits.join(", ")}.`;
}

/** Size in MiB as people say it. */
export function sizeName(mib: number): string {
  return mib >= 1024 && mib % 1024 === 0 ? `${mib / 1024} GiB` : `${mib} MiB`;
}

/** One line per way: times by number of ranks, and the memory of the most ranks that were measured. */
function renderTable(rows: readonly PeersRow[], gaps: readonly PeersGap[], mib: number): string {
  const shown = rows.filter((row) => sizeOf(row) === mib);
  const missing = gaps.filter((gap) => sizeOf(gap) === mib);
  const ranks = [...new Set([...shown, ...missing].map((one) => one.ranks))].sort((a, b) => a - b);
  const lines = PEERS_MODES.flatMap(({ name, label }) => {
    const cells = ranks.map((count) => shown.find((row) => row.mode === name && row.ranks === count));
    const widest = cells.findLast((row) => row !== undefined);
    if (widest === undefined) return [];
    const memory = `${(widest.pssBytes / widest.checkpointBytes).toFixed(2)} (${widest.ranks})`;
    return [[label, ...cells.map((row) => row?.ms.toFixed(0) ?? "–"), memory]];
  });
  const head = [
    `${sizeName(mib)}, ms at`,
    ...ranks.map((count) => `${count} rank${count === 1 ? "" : "s"}`),
    "memory / checkpoint (ranks)",
  ];
  const rule = ["---", ...ranks.map(() => "--:"), "--:"];
  return [head, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
