/** A line of a plot: how it is called, how it is drawn, and its points. */
export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const SIZE = { width: 720, height: 400, left: 64, right: 24, top: 44, bottom: 52 };

/** A round number that is not smaller: 1, 2 or 5 times a power of ten. */
function roundUp(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * unit >= value) ?? 10) * unit;
}

/** Lines over one axis as an SVG, readable in light and in dark. Pure. */
export function plot(
  title: string,
  axes: { readonly x: string; readonly y: string },
  lines: readonly Line[],
): string {
  const all = lines.flatMap(({ points }) => points);
  const most = { x: Math.max(...all.map(([x]) => x)), y: roundUp(Math.max(...all.map(([, y]) => y))) };
  const { width, height, left, right, top, bottom } = SIZE;
  const x = (value: number): string => (left + (value / most.x) * (width - left - right)).toFixed(1);
  const y = (value: number): string =>
    (height - bottom - (value / most.y) * (height - top - bottom)).toFixed(1);
  const text = (at: string, from: string, body: string, anchor = 'middle'): string =>
    `<text x="${at}" y="${from}" text-anchor="${anchor}">${body}</text>`;
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<g fill="#333333">`,
    text(String(left), '20', title, 'start'),
    ...ticks.map((part) =>
      text(String(left - 8), String(Number(y(part * most.y)) + 4), String(part * most.y), 'end'),
    ),
    ...ticks.map((part) => text(x(part * most.x), String(height - bottom + 18), String(part * most.x))),
    text(String(width / 2), String(height - 12), axes.x),
    text('14', '36', axes.y, 'start'),
    `</g>`,
    `<g stroke="#dddddd">`,
    ...ticks.map(
      (part) =>
        `<line x1="${left}" x2="${width - right}" y1="${y(part * most.y)}" y2="${y(part * most.y)}"/>`,
    ),
    `</g>`,
    ...lines.flatMap(({ name, colour, points }, index) => [
      `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')}"/>`,
      ...points.map(([a, b]) => `<circle cx="${x(a)}" cy="${y(b)}" r="3" fill="${colour}"/>`),
      `<rect x="${left + 12}" y="${top + 6 + index * 18}" width="10" height="10" fill="${colour}"/>`,
      `<g fill="#333333">${text(String(left + 28), String(top + 15 + index * 18), name, 'start')}</g>`,
    ]),
    '</svg>',
  ].join('\n')}\n`;
}
