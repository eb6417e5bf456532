import { bytes } from '../monitor/format.js';
import type { FleetRecord } from '../fleet/record.js';
import { html, page } from './html.js';
import { INDEX_SCRIPT } from './script.js';
import { STYLE } from './style.js';

/** What an index says of a deployment beyond its entry in the fleet record. */
export interface IndexFacts {
  /** File name of its report; none where it has none. */
  readonly report?: string;
  /** How much differs from the image before; none where that is not known. */
  readonly changes?: readonly string[];
  readonly exceptions?: readonly string[];
  /** How many packages were known to be vulnerable; none where that was not asked. */
  readonly vulnerable?: number;
}

/** The index of a fleet as one file of HTML: every deployment, sortable. Pure. */
export function indexPage(record: FleetRecord, facts: ReadonlyMap<string, IndexFacts>): string {
  const { deployments, bases, made, finished, project } = record;
  const releases = new Map(bases.map(({ key, release }) => [key, release]));
  const run = new Set(made);
  const heads = [
    'deployment',
    'assistant',
    'host',
    'jails’ net',
    'release',
    'images',
    'size',
    'last run',
    'exceptions',
    'vulnerable',
  ];
  const rows = deployments.map(({ name, assistant, host, agentNet, images, base }) => {
    const { report, changes, exceptions, vulnerable } = facts.get(name) ?? {};
    const size = images.reduce((sum, image) => sum + image.bytes, 0);
    const what = changes?.slice(0, 8).join(', ') ?? '';
    const more = (changes?.length ?? 0) > 8 ? ', …' : '';
    return html`<tr>
      <th scope="row">
        ${report === undefined ? name : html`<a href="./${encodeURIComponent(report)}">${name}</a>`}
      </th>
      <td>${assistant}</td>
      <td>${host}</td>
      <td>${agentNet}</td>
      <td>${releases.get(base) ?? base.slice(0, 12)}</td>
      <td>${images.map((image) => html`<span title="SHA-256 ${image.sha256}">${image.name}</span> `)}</td>
      <td data-value="${size}">${bytes(size)}</td>
      <td>${run.has(name) ? 'made' : 'kept'}${what === '' ? '' : `: ${what}${more}`}</td>
      <td>${exceptions?.join(', ')}</td>
      <td data-value="${vulnerable ?? -1}">${vulnerable === 0 ? 'none known' : vulnerable}</td>
    </tr> `;
  });
  return page(
    'Fleet: all deployments',
    html`<header>
        <h1>Fleet</h1>
        <p>
          ${deployments.length} deployments on ${bases.length} base images; the run of ${finished} made
          ${made.length} of them.
        </p>
        <p class="dim">By ${project}.</p>
      </header>
      <main>
        <p class="screen">
          <label>Show those with <input type="search" autocomplete="off" /></label>
          <span id="count" aria-live="polite"></span>
        </p>
        <div class="wide" role="region" aria-label="Deployments" tabindex="0">
          <table class="sortable">
            <caption>
              All deployments. A head sorts by its column.
            </caption>
            <thead>
              <tr>
                ${heads.map((head) => html`<th scope="col"><button type="button">${head}</button></th>`)}
              </tr>
            </thead>
            <tbody>
              ${rows}
            </tbody>
          </table>
        </div>
      </main>`,
    STYLE,
    INDEX_SCRIPT,
  );
}
