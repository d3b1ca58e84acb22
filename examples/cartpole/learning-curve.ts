/** A learning curve as SVG. */

/** One update. */
export interface CurvePoint {
  /** Steps of all environments so far. */
  readonly steps: number;
  /** Mean return of the last 100 episodes; null before the first has ended. */
  readonly meanReturn: number | null;
}

const [WIDTH, HEIGHT, MARGIN] = [720, 360, 48];

/** The curve with its axes, and a line at `goal`. */
export function renderCurve(points: readonly CurvePoint[], goal: number): string {
  const stepsMax = Math.max(1, ...points.map(({ steps }) => steps));
  const x = (steps: number) => round(MARGIN + (steps / stepsMax) * (WIDTH - 2 * MARGIN));
  const y = (value: number) => round(HEIGHT - MARGIN - (value / 200) * (HEIGHT - 2 * MARGIN));
  const line = points.flatMap(({ steps, meanReturn }) => (meanReturn === null ? [] : [`${x(steps)},${y(meanReturn)}`])).join(" ");
  const label = (at: number, text: string) => `<text x="${MARGIN - 8}" y="${y(at) + 4}" text-anchor="end">${text}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    "<title>CartPole: mean return over steps</title>",
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<path d="M${MARGIN} ${MARGIN / 2}V${HEIGHT - MARGIN}H${WIDTH - MARGIN}" fill="none" stroke="#444"/>`,
    `<path d="M${MARGIN} ${y(goal)}H${WIDTH - MARGIN}" stroke="#999" stroke-dasharray="4 4"/>`,
    ...[0, 50, 100, 150, goal].map((value) => label(value, String(value))),
    `<text x="${WIDTH - MARGIN}" y="${HEIGHT - MARGIN + 20}" text-anchor="end">${stepsMax} steps, ${points.length} updates</text>`,
    `<text x="${MARGIN + 8}" y="${MARGIN / 2 + 4}">mean return of the last 100 episodes</text>`,
    `<polyline points="${line}" fill="none" stroke="#06c" stroke-width="2"/>`,
    "</svg>",
    "",
  ].join("\n");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
