import type { DrawnMap } from './map-store.js';
import type { ImageFacts, ShownBoot } from './facts.js';
import { html, page } from './html.js';
import type { Html } from './html.js';
import { mapView } from './map-view.js';
import { MAP_SCRIPT } from './script.js';
import { bootReport } from './boot-section.js';
import { configuration, contents, proof, since, sizes, times } from './sections.js';
import { STYLE } from './style.js';

/**
 * The report of an image as one file of HTML. It holds no secret, since its record does not. Pure.
 *
 * @param drawn the maps with their layouts
 * @param boot what `clawdie-iso boot` found of this very image
 */
export function imagePage(
  facts: ImageFacts,
  drawn: readonly DrawnMap[],
  boot: ShownBoot | undefined,
): string {
  const assistant = facts.configuration['ASSISTANT_NAME']?.value ?? '';
  const exceptions = facts.policy.exceptions.length;
  const vulnerable = facts.audit?.known.length ?? 0;
  const parts: readonly (readonly [id: string, title: string, body: Html])[] = [
    [
      'map',
      'Who may talk to whom',
      drawn.length > 0
        ? html`${drawn.map(({ map, drawing }) => mapView(map, drawing))}`
        : html`<p>The record of this image has no map: a fleet makes them with --maps.</p>`,
    ],
    ['proof', 'Proof', proof(facts)],
    ['contents', 'Contents', contents(facts)],
    ['configuration', 'Configuration', configuration(facts)],
    ['size', 'Size', sizes(facts)],
    ['time', 'Time', times(facts)],
    ['changes', 'What differs from the last image', since(facts)],
    ['boot', 'Boot', bootReport(boot)],
  ];
  return page(
    `${assistant}: image report`,
    html`<header>
        <h1>${assistant}</h1>
        <p>${facts.images.map(({ name }) => name).join(', ')}</p>
        <p class="dim">
          Built ${facts.finished} by ${facts.project}.
          ${exceptions === 0 ? 'Every row of its policy holds.' : html`<span class="bad">${exceptions} rows of its policy do not hold, as POLICY_EXCEPTIONS allows.</span>`}
          ${vulnerable === 0 ? undefined : html`<span class="bad">${vulnerable} packages are known to be vulnerable.</span>`}
        </p>
      </header>
      <nav aria-label="Parts of the report">
        <ul>
          ${parts.map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}
        </ul>
      </nav>
      <main>
        ${parts.map(
          ([id, title, body]) =>
            html`<section id="${id}" aria-labelledby="h-${id}">
              <h2 id="h-${id}">${title}</h2>
              ${body}
            </section> `,
        )}
      </main>`,
    STYLE,
    MAP_SCRIPT,
  );
}
