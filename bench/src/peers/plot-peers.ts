/** The comparison as a picture: time over ranks, both logarithmic, one line per way. */
import { PEERS_MODES, type PeersModeName } from "./peers-mode.js";
import { type PeersRow, sizeOf } from "./peers-results.js";

const WIDTH = 860;
const HEIGHT = 430;
const PLOT = { left: 70, right: 560, top: 40, bottom: 380 };
const LABEL_GAP = 15;

// Readable on white and on black.
const COLOURS: Readonly<Record<PeersModeName, string>> = {
  "torch-each": "#b2452f",
  "torch-broadcast": "#c8772f",
  "torch-mmap": "#b79a1f",
  "safetensors-copy": "#8a7f9c",
  "safetensors-mmap": "#7a6fae",
  "node-plain": "#6b8f3a",
  "rankcast-adopt": "#1f77d0",
  "rankcast-replicas": "#4a9be0",
  "rankcast-first": "#1fa3a3",
  "rankcast-copy": "#2c8f6b",
  memcpy: "#888888",
  "map-floor": "#555555",
};

interface Line {
  readonly mode: PeersModeName;
  readonly label: string;
  readonly points: readonly (readonly [ranks: number, ms: number])[];
}

/** An SVG of the rows of one size. */
export function plotPeers(rows: readonly PeersRow[], checkpointMib: number): string {
  const shown = rows.filter((row) => sizeOf(row) === checkpointMib);
  const lines: Line[] = PEERS_MODES.flatMap(({ name, label }) => {
    const points = shown.filter(({ mode }) => mode === name).map(({ ranks, ms }) => [ranks, ms] as const);
    return points.length === 0 ? [] : [{ mode: name, label, points }];
  });
  const scale = scaleOf(lines);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#888">`,
    `<title>Time to load one checkpoint of ${checkpointMib} MiB into every rank of a node</title>`,
    `<text x="${PLOT.left}" y="22" font-size="14">Milliseconds until every rank has loaded ${checkpointMib} MiB, by number of ranks (log scales; lower is better)</text>`,
    ...grid(scale),
    ...lines.map((line) => drawLine(line, scale)),
    ...drawLabels(lines, scale),
    "</svg>",
    "",
  ].join("\n");
}

interface Scale {
  readonly ranks: readonly number[];
  readonly decades: readonly number[];
  x(ranks: number): number;
  y(ms: number): number;
}

function scaleOf(lines: readonly Line[]): Scale {
  const ranks = [...new Set(lines.flatMap(({ points }) => points.map(([count]) => count)))].sort((a, b) => a - b);
  const all = lines.flatMap(({ points }) => points.map(([, ms]) => Math.log10(Math.max(ms, 1))));
  const [low, high] = [Math.floor(Math.min(...all)), Math.max(Math.ceil(Math.max(...all)), Math.floor(Math.min(...all)) + 1)];
  const [first, last] = [Math.log2(ranks[0] ?? 1), Math.log2(ranks.at(-1) ?? 1)];
  const span = last === first ? 1 : last - first;
  return {
    ranks,
    decades: Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)),
    x: (count) => PLOT.left + ((Math.log2(count) - first) / span) * (PLOT.right - PLOT.left),
    y: (ms) => PLOT.bottom - ((Math.log10(Math.max(ms, 1)) - low) / (high - low)) * (PLOT.bottom - PLOT.top),
  };
}

function grid({ ranks, decades, x, y }: Scale): string[] {
  return [
    ...decades.flatMap((ms) => [
      `<path d="M${PLOT.left} ${y(ms).toFixed(1)}H${PLOT.right}" stroke="#888" stroke-opacity=".35"/>`,
      `<text x="${PLOT.left - 8}" y="${(y(ms) + 4).toFixed(1)}" text-anchor="end">${ms}</text>`,
    ]),
    ...ranks.map((count) => `<text x="${x(count).toFixed(1)}" y="${PLOT.bottom + 22}" text-anchor="middle">${count}</text>`),
    `<text x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 42}" text-anchor="middle">ranks</text>`,
  ];
}

function drawLine({ mode, points }: Line, { x, y }: Scale): string {
  const at = points.map(([count, ms]) => `${x(count).toFixed(1)} ${y(ms).toFixed(1)}`);
  const style = mode === "memcpy" || mode === "map-floor" ? ' stroke-dasharray="4 4"' : "";
  const width = mode.startsWith("rankcast") ? 3 : 1.5;
  const dots = points.map(([count, ms]) => `<circle cx="${x(count).toFixed(1)}" cy="${y(ms).toFixed(1)}" r="3" fill="${COLOURS[mode]}"/>`);
  return `<path d="M${at.join("L")}" fill="none" stroke="${COLOURS[mode]}" stroke-width="${width}"${style}/>${dots.join("")}`;
}

/** Names at the right ends of the lines, moved apart where they would overlap. */
function drawLabels(lines: readonly Line[], { y }: Scale): string[] {
  const ends = lines.map(({ mode, label, points }) => ({ mode, label, at: y(points.at(-1)?.[1] ?? 1) })).sort((a, b) => a.at - b.at);
  let floor = Number.NEGATIVE_INFINITY;
  return ends.map(({ mode, label, at }) => {
    floor = Math.max(at, floor + LABEL_GAP);
    return `<text x="${PLOT.right + 12}" y="${(floor + 4).toFixed(1)}" fill="${COLOURS[mode]}">${label}</text>`;
  });
}
