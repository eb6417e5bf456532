import type { Drawing } from './draw.js';
import type { ReportMap, ReportPair } from './facts.js';
import { html, scriptJson } from './html.js';
import type { Html } from './html.js';

/** A map with its matrix, and room for what is known of a pair. Pure. */
export function mapView(map: ReportMap, drawing: Drawing): Html {
  return html`<div data-map="${map.situation}">
    <h3>${map.situation}</h3>
    <figure>
      ${picture(map, drawing)}
      <figcaption class="dim">
        Red: every service. Blue: some services. Dashed: neighbour discovery and path-MTU messages alone.
        Choose two boxes, a line, or a cell of the matrix.
      </figcaption>
    </figure>
    <div class="detail" aria-live="polite"><p class="dim">Choose from where, then where to.</p></div>
    <h3>Policy matrix, ${map.situation}</h3>
    ${matrix(map)}
    <script type="application/json">
      ${scriptJson(map)}
    </script>
  </div> `;
}

const MARGIN = 12;

function picture(map: ReportMap, { width, height, boxes, lines }: Drawing): Html {
  const view = [-MARGIN, -MARGIN, width + 2 * MARGIN, height + 2 * MARGIN].join(' ');
  const names = new Map(map.zones.map(({ id, name }) => [id, name]));
  return html`<svg viewBox="${view}" role="group" aria-label="Who may talk to whom, ${map.situation}">
    ${lines.map(({ from, to, verdict, points, tip }) => {
      const [start, ...rest] = points;
      const curve = `M${start?.join(',') ?? ''}${rest.length > 0 ? `C${rest.map((each) => each.join(',')).join(' ')}` : ''}`;
      return html`<g class="tie" data-from="${from}" data-to="${to}" aria-hidden="true"
        ><title>${names.get(from)} → ${names.get(to)}</title><path class="hit" d="${curve}" /><path
          class="l-${verdict}"
          d="${curve}" /><polygon class="a-${verdict}" points="${arrow(points.at(-1), tip)}"
      /></g> `;
    })}${map.zones.map(({ id, name, kind, interfaces }, index) => {
      const { x, y, w, h } = boxes[index] ?? { x: 0, y: 0, w: 0, h: 0 };
      const middle = x + w / 2;
      const below = interfaces.length > 0 ? interfaces.join(', ') : kind;
      return html`<g
        class="box"
        role="button"
        tabindex="0"
        aria-pressed="false"
        aria-label="${name}"
        data-zone="${id}"
        ><rect x="${x}" y="${y}" width="${w}" height="${h}" rx="5" /><text x="${middle}" y="${y + h / 2 - 2}"
          >${name}</text
        ><text class="small" x="${middle}" y="${y + h / 2 + 13}">${below}</text></g
      > `;
    })}
  </svg>`;
}

/** The head of an arrow from the end of a line to its tip. */
function arrow(end: readonly [number, number] | undefined, tip: readonly [number, number]): string {
  const [x, y] = end ?? tip;
  const [dx, dy] = [tip[0] - x, tip[1] - y];
  const length = Math.hypot(dx, dy) || 1;
  const [sideX, sideY] = [(-dy / length) * 3.5, (dx / length) * 3.5];
  return [tip, [x + sideX, y + sideY], [x - sideX, y - sideY]]
    .map((point) => point.map((value) => value.toFixed(1)).join(','))
    .join(' ');
}

const SIGNS = { open: 'all', services: 'some', signals: '~', closed: '·' } as const;
const WORDS = {
  open: 'every service',
  services: 'some services',
  signals: 'neighbour discovery and path-MTU messages alone',
  closed: 'nothing',
} as const;

/** Whether something gets through where the design wants nothing to. */
function isLeak({ mustBeClosed, verdict }: ReportPair): boolean {
  return mustBeClosed && (verdict === 'open' || verdict === 'services');
}

function matrix({ zones, pairs, situation }: ReportMap): Html {
  const byPair = new Map(pairs.map((pair) => [JSON.stringify([pair.from, pair.to]), pair]));
  return html`<div class="wide" role="region" aria-label="Policy matrix, ${situation}" tabindex="0">
    <table class="matrix">
      <caption>
        From (rows) to (columns). all: every service; some: those that a click shows; ~: neighbour discovery
        and path-MTU messages alone; ·: nothing; +: and what somebody redirects on the instance.
      </caption>
      <thead>
        <tr>
          <th scope="col">from \\ to</th>
          ${zones.map(({ name }) => html`<th scope="col">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${zones.map(
          (from) =>
            html`<tr>
              <th scope="row">${from.name}</th>
              ${zones.map((to) => {
                const pair = byPair.get(JSON.stringify([from.id, to.id]));
                if (!pair) return html`<td>?</td>`;
                const { verdict, services, redirects } = pair;
                const text = `${from.name} to ${to.name}: ${verdict === 'services' ? services.join('; ') : WORDS[verdict]}`;
                return html`<td>
                  <button
                    type="button"
                    class="v-${verdict}${isLeak(pair) ? ' leak' : ''}"
                    aria-pressed="false"
                    aria-label="${text}"
                    title="${text}"
                    data-from="${from.id}"
                    data-to="${to.id}"
                  >
                    ${isLeak(pair) ? '!!!' : SIGNS[verdict]}${redirects.length > 0 ? '+' : ''}
                  </button>
                </td>`;
              })}
            </tr> `,
        )}
      </tbody>
    </table>
  </div>`;
}
