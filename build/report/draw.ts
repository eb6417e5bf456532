import type { Viz } from '@viz-js/viz';
import type { ReportMap } from './facts.js';

/** Where the boxes and lines of a map are, in points, from the upper left corner. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly boxes: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  }[];
  /** A line for each pair between whom something passes, in the order of the pairs. */
  readonly lines: readonly {
    readonly from: string;
    readonly to: string;
    readonly verdict: string;
    /** Points of a Bézier curve: the first, and three for each piece. */
    readonly points: readonly (readonly [number, number])[];
    /** Where its arrow ends. */
    readonly tip: readonly [number, number];
  }[];
}

let viz: Promise<Viz> | undefined;
const known = new Map<string, Drawing>();

/** Lines from which on they are drawn straight: bending them around boxes takes seconds. */
const MANY = 160;
const RANK: Readonly<Record<string, string>> = { internet: 'min', card: 'min', tailnet: 'min', other: 'min' };

/** Lays out a map with Graphviz, which runs here as WebAssembly. Names are not given to it: it sees sizes and numbers. */
export async function drawMap(map: ReportMap): Promise<Drawing> {
  const lines = map.pairs.filter(({ verdict }) => verdict !== 'closed');
  const sizes = widthsOf(map);
  const key = shapeOf(map);
  const earlier = known.get(key);
  if (earlier) return earlier;
  const number = new Map(map.zones.map(({ id }, index) => [id, `n${index}`]));
  // 1.4 MB that are loaded where something is drawn, which is rare: drawings are kept.
  viz ??= import('@viz-js/viz').then(({ instance }) => instance());
  const laid = (await viz).renderJSON(
    {
      directed: true,
      graphAttributes: {
        ...{ nodesep: 0.45, ranksep: 0.9, splines: lines.length > MANY ? 'line' : 'true' },
      },
      nodeAttributes: { shape: 'box', fixedsize: 'true', height: HEIGHT / 72, label: '' },
      nodes: map.zones.map((_, index) => ({
        name: `n${index}`,
        attributes: { width: (sizes[index] ?? 90) / 72 },
      })),
      edges: lines.map(({ from, to, verdict }, index) => ({
        tail: number.get(from) ?? '',
        head: number.get(to) ?? '',
        attributes: { id: String(index), constraint: verdict === 'signals' ? 'false' : 'true' },
      })),
      subgraphs: [
        {
          graphAttributes: { rank: 'min' },
          nodes: map.zones.flatMap(({ id, kind }) =>
            RANK[kind] === undefined ? [] : [{ name: number.get(id) ?? '' }],
          ),
        },
      ],
    },
    { engine: 'dot' },
  );
  const drawing = read(laid, sizes, lines);
  if (known.size > 100) known.clear();
  known.set(key, drawing);
  return drawing;
}

function widthsOf({ zones }: ReportMap): readonly number[] {
  return zones.map(({ name, interfaces }) =>
    Math.min(260, Math.max(90, 24 + 7 * Math.max(name.length, interfaces.join(', ').length))),
  );
}

/** All of a map that its drawing depends on: two with one shape look the same. */
export function shapeOf(map: ReportMap): string {
  return JSON.stringify([
    map.zones.map(({ id, kind }) => [id, kind]),
    widthsOf(map),
    map.pairs
      .filter(({ verdict }) => verdict !== 'closed')
      .map(({ from, to, verdict }) => [from, to, verdict]),
  ]);
}

/** Height of a box in points. */
const HEIGHT = 46;

/** What Graphviz's JSON has of it (graphviz.org/docs/outputs/json): positions from the lower left corner. */
function read(laid: object, sizes: readonly number[], lines: ReportMap['pairs']): Drawing {
  const {
    bb = '',
    objects = [],
    edges = [],
  } = laid as {
    readonly bb?: string;
    readonly objects?: readonly { readonly name: string; readonly pos?: string }[];
    readonly edges?: readonly { readonly id?: string; readonly pos?: string }[];
  };
  const [, , width = 0, height = 0] = bb.split(',').map(Number);
  const point = (text: string): [number, number] => {
    const [x = 0, y = 0] = text.split(',').map(Number);
    return [round(x), round(height - y)];
  };
  const places = new Map(objects.map(({ name, pos = '0,0' }) => [name, point(pos)]));
  const curves = new Map(edges.map(({ id = '', pos = '' }) => [id, pos]));
  return {
    width: round(width),
    height: round(height),
    boxes: sizes.map((w, index) => {
      const [x, y] = places.get(`n${index}`) ?? [0, 0];
      return { x: round(x - w / 2), y: round(y - HEIGHT / 2), w, h: HEIGHT };
    }),
    lines: lines.map(({ from, to, verdict }, index) => {
      const parts = (curves.get(String(index)) ?? '').split(' ').filter((part) => part !== '');
      const end = parts.find((part) => part.startsWith('e,'));
      const points = parts.filter((part) => /^[-\d]/.test(part)).map(point);
      return { from, to, verdict, points, tip: end ? point(end.slice(2)) : (points.at(-1) ?? [0, 0]) };
    }),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
