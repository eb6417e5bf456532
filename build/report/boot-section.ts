import type { BootFacts, ShownBoot } from './facts.js';
import { html, table } from './html.js';
import type { Html } from './html.js';

/** What `clawdie-iso boot` has found of an image, as a part of its report. Pure. */
export function bootReport(shown: ShownBoot | undefined): Html {
  if (!shown)
    return html`<p>
      None was made of this very image. <code>clawdie-iso boot</code> starts it in QEMU;
      <code>clawdie-iso report</code> then shows here what came of it.
    </p>`;
  const { facts: boot, pictures } = shown;
  return html`<p>
      ${boot.ok ? html`<span class="good">Everything held.</span>` : html`<span class="bad">Something did not hold.</span>`}
    </p>
    ${boot.starts.map(
      ({
        firmware,
        media,
        fault,
        accelerator,
        stages,
        firstFrame,
        stopped,
        reached,
        probes,
        frames,
        checks,
      }) => {
        const name = [firmware, media, fault].filter((word) => word !== undefined).join(', ');
        const frame = firstFrame === undefined ? [] : [{ name: 'first frame', seconds: firstFrame }];
        const line = [...stages, ...frame].sort((a, b) => a.seconds - b.seconds);
        const end = Math.max(0.1, ...line.map(({ seconds }) => seconds));
        return html`<h3>${name} (${accelerator}, ${probes} probes)</h3>
          ${stopped === undefined ? undefined : html`<p class="bad">Stopped after ${reached}: ${stopped}</p>`}
          ${table(
            `Timeline of ${name}`,
            ['stage', 'seconds', ''],
            line.map(({ name: stage, seconds }) => [
              stage,
              seconds.toFixed(1),
              html`<meter min="0" max="${end}" value="${seconds}" aria-label="${stage}">
                ${seconds.toFixed(1)} s
              </meter>`,
            ]),
          )}${frameRow(name, frames, pictures)}${table(
            `Checks of ${name}`,
            ['check', 'state', 'found'],
            checks.map(({ id, state, detail }) => [
              id,
              html`<span class="${state === 'failed' ? 'bad' : state === 'held' ? 'good' : 'dim'}"
                >${state}</span
              >`,
              detail,
            ]),
          )}`;
      },
    )}`;
}

type Frames = BootFacts['starts'][number]['frames'];

/** How it looked: its screen, and below it what the serial console had said by then. */
function frameRow(name: string, frames: Frames, pictures: ShownBoot['pictures']): Html | undefined {
  if (frames.length === 0) return undefined;
  return html`<div class="frames" role="region" aria-label="Frames of ${name}" tabindex="0">
    ${frames.map(({ at, seconds, image, lines }) => {
      const picture = image === undefined ? undefined : pictures.get(image);
      return html`<figure>
        <figcaption>${at}, after ${seconds.toFixed(1)} s</figcaption>
        ${
          picture === undefined
            ? undefined
            : html`<img src="data:image/png;base64,${picture}" alt="The screen of ${name} at ${at}" />`
        }
        <details ${picture === undefined ? 'open' : ''}>
          <summary>serial console</summary>
          <pre>${lines.join('\n')}</pre>
        </details>
      </figure> `;
    })}
  </div> `;
}
