/** The comparison as a picture: one panel per size, time over ranks, both logarithmic, one line per way. */
import { PEERS_MODES, type PeersModeName } from "./peers-mode.js";
import { type PeersRow, sizeOf } from "./peers-results.js";
import { sizeName } from "./peers-table.js";

const PANEL = { width: 290, height: 300, top: 62, left: 56, gap: 26 };
const KEY = { columns: 3, rowHeight: 19, top: 56 };

// Readable on white and on black.
const COLOURS: Readonly<Record<PeersModeName, string>> = {
  "torch-each": "#b2452f",
  "torch-broadcast": "#d9822b",
  "torch-mmap": "#b79a1f",
  "safetensors-copy": "#c45a9a",
  "safetensors-mmap": "#8a63c9",
  "node-plain": "#6b8f3a",
  "rankcast-adopt": "#1f77d0",
  "rankcast-replicas": "#4fb0f0",
  "rankcast-first": "#1fa3a3",
  "rankcast-copy": "#2c8f6b",
  memcpy: "#888888",
  "map-floor": "#888888",
};
/** What is no way of loading but the least that one can cost. */
const FLOORS: ReadonlySet<PeersModeName> = new Set(["memcpy", "map-floor"]);

interface Scale {
  readonly x: (ranks: number) => number;
  readonly y: (ms: number) => number;
}

/** An SVG of all rows. */
export function plotPeers(rows: readonly PeersRow[]): string {
  const sizes = [...new Set(rows.map(sizeOf))].sort((a, b) => a - b);
  const ranks = [...new Set(rows.map((row) => row.ranks))].sort((a, b) => a - b);
  const modes = PEERS_MODES.filter(({ name }) => rows.some(({ mode }) => mode === name));
  const decades = decadesOf(rows);
  const width = Math.max(PANEL.left + sizes.length * (PANEL.width + PANEL.gap), 3 * (PANEL.width + PANEL.gap) + PANEL.left);
  const bottom = PANEL.top + PANEL.height;
  const height = bottom + KEY.top + Math.ceil(modes.length / KEY.columns) * KEY.rowHeight;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#888">`,
    "<title>Time to load one checkpoint into every rank of a node</title>",
    `<text x="${PANEL.left}" y="22" font-size="14">Time until every rank has loaded, by number of ranks (log scales; lower is better)</text>`,
    ...sizes.flatMap((size, index) => {
      const left = PANEL.left + index * (PANEL.width + PANEL.gap);
      const scale = scaleOf(left, ranks, decades);
      const shown = rows.filter((row) => sizeOf(row) === size);
      return [...panel(left, sizeName(size), ranks, decades, scale, index === 0), ...modes.flatMap(({ name }) => line(name, shown, scale))];
    }),
    ...modes.flatMap(({ name, label }, index) => key(name, label, index, (width - PANEL.left) / KEY.columns, bottom + KEY.top)),
    "</svg>",
    "",
  ].join("\n");
}

/** Powers of ten around all times. */
function decadesOf(rows: readonly PeersRow[]): number[] {
  const times = rows.map(({ ms }) => Math.log10(Math.max(ms, 1)));
  const [low, high] = [Math.floor(Math.min(...times, 3)), Math.ceil(Math.max(...times, 1))];
  return Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
}

function timeName(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

function scaleOf(left: number, ranks: readonly number[], decades: readonly number[]): Scale {
  const [first, last] = [Math.log2(ranks[0] ?? 1), Math.log2(ranks.at(-1) ?? 1)];
  const [low, high] = [Math.log10(decades[0] ?? 1), Math.log10(decades.at(-1) ?? 10)];
  const inset = 16;
  const span = last === first ? 1 : last - first;
  return {
    x: (count) => left + inset + ((Math.log2(count) - first) / span) * (PANEL.width - 2 * inset),
    y: (ms) => PANEL.top + PANEL.height * (1 - (Math.log10(Math.max(ms, 1)) - low) / (high - low)),
  };
}

function panel(
  left: number,
  title: string,
  ranks: readonly number[],
  decades: readonly number[],
  { x, y }: Scale,
  names: boolean,
): string[] {
  const right = left + PANEL.width;
  const bottom = PANEL.top + PANEL.height;
  return [
    `<text x="${(left + right) / 2}" y="${PANEL.top - 12}" text-anchor="middle" font-weight="bold">${title}</text>`,
    ...decades.map((ms) => `<path d="M${left} ${y(ms).toFixed(1)}H${right}" stroke="#888" stroke-opacity=".35"/>`),
    ...(names ? decades.map((ms) => `<text x="${left - 8}" y="${(y(ms) + 4).toFixed(1)}" text-anchor="end">${timeName(ms)}</text>`) : []),
    ...ranks.map((count) => `<text x="${x(count).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${count}</text>`),
    `<text x="${(left + right) / 2}" y="${bottom + 34}" text-anchor="middle">ranks</text>`,
  ];
}

function line(mode: PeersModeName, rows: readonly PeersRow[], { x, y }: Scale): string[] {
  const at = rows.filter((row) => row.mode === mode).map((row) => [x(row.ranks).toFixed(1), y(row.ms).toFixed(1)] as const);
  if (at.length === 0) return [];
  const dots = at.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${COLOURS[mode]}"/>`);
  return [`<path d="M${at.map((point) => point.join(" ")).join("L")}" ${strokeOf(mode)}/>${dots.join("")}`];
}

function key(mode: PeersModeName, label: string, index: number, columnWidth: number, top: number): string[] {
  const left = PANEL.left + (index % KEY.columns) * columnWidth;
  const y = top + Math.floor(index / KEY.columns) * KEY.rowHeight;
  return [
    `<path d="M${left.toFixed(1)} ${y - 4}h18" ${strokeOf(mode)}/>`,
    `<text x="${(left + 24).toFixed(1)}" y="${y}" font-size="11">${label}</text>`,
  ];
}

function strokeOf(mode: PeersModeName): string {
  const dashes = FLOORS.has(mode) ? ` stroke-dasharray="${mode === "memcpy" ? "5 4" : "2 3"}"` : "";
  return `fill="none" stroke="${COLOURS[mode]}" stroke-width="${mode.startsWith("rankcast") ? 3 : 1.5}"${dashes}`;
}
