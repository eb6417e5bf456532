import { bytes, duration } from '../monitor/format.js';
import type { ImageFacts } from './facts.js';
import { html, table } from './html.js';
import type { Html, Part } from './html.js';

/* The parts of a report below its map. Pure. */

const code = (text: string): Html => html`<code>${text}</code>`;
const list = (items: readonly Part[]): Html =>
  html`<ul>
    ${items.map((item) => html`<li>${item}</li>`)}
  </ul> `;

export function proof({ policy }: ImageFacts): Html {
  const { cells, ways, situations, rows, assumed, exceptions } = policy;
  return html`<p>
      Proved for every packet: ${cells} cells (boxes of packets that are treated alike) and ${ways} ways
      through the host, in ${situations.length} situations.
    </p>
    <h3>Situations</h3>
    ${list(situations)}
    <h3>Rows of the policy that are about packets</h3>
    <p>${rows.map((row) => html`${code(row)} `)}</p>
    <h3>Taken for granted</h3>
    ${list(assumed)}
    <h3>Exceptions</h3>
    ${
      exceptions.length === 0
        ? html`<p>None: every row holds.</p>`
        : table(
            'Rows that POLICY_EXCEPTIONS lets the operator’s rules break',
            ['row', 'how'],
            exceptions.map(({ row, example }) => [html`<span class="bad">${row}</span>`, example]),
          )
    }`;
}

/** What is known of the packages; of a lock that nobody has audited nothing is said. */
function vulnerabilities({ contents: installed, audit }: ImageFacts): Html {
  if (installed === undefined) return html``;
  if (!audit)
    return html`<p>
      Whether vulnerabilities of these packages are known was not asked.
      <code>clawdie-iso audit --save</code> asks; <code>clawdie-iso report --audit</code> then shows here what
      it found.
    </p>`;
  const { time, from, looked, known, base = [] } = audit;
  const scope =
    base.length > 0
      ? `It was asked for ${base.join(' and ')} too, and not for packages of npm.`
      : 'It was asked neither for the base system nor for packages of npm.';
  return html`<p>
      Audited ${time} with ${looked} vulnerabilities of ${from}:
      ${
        known.length === 0
          ? html`<span class="good">none is known of these packages.</span>`
          : html`<span class="bad">${known.length} packages are known to be vulnerable.</span>`
      }
      ${scope}
    </p>
    ${
      known.length === 0
        ? undefined
        : table(
            'Packages that are known to be vulnerable',
            ['package', 'version', 'to what', 'CVE', 'entry of VuXML'],
            known.flatMap(({ name, version, vulnerabilities: all }) =>
              all.map(({ id, topic, cves }) => [name, version, topic, cves.join(', '), code(id)]),
            ),
          )
    }`;
}

export function contents(facts: ImageFacts): Html {
  const { contents: installed, root, overlay, release } = facts;
  return html`<p>Release: ${release.from} (${release.trust}).</p>
    ${table(
      'Release',
      ['set or package', 'SHA-256'],
      Object.entries(release.sums).map(([name, sum]) => [name, code(sum)]),
    )}
    <p>
      ${root.files} files of the release, ${root.kernelModules.length} kernel modules:
      ${root.kernelModules.join(', ')}.
    </p>
    ${
      installed === undefined
        ? html`<p>
            What instances install is not locked: there was no clawdie.lock.json, or nothing is to be
            installed.
          </p>`
        : table(
            `${installed.length} packages that an instance installs, as the lock has them`,
            ['package', 'version', 'licence', 'size', 'asked for by'],
            installed.map(({ kind, name, version, license, bytes: size, asked }) => [
              kind === 'npm' ? `${name} (npm)` : name,
              version,
              license ?? html`<span class="dim">not known</span>`,
              size === undefined ? '' : bytes(size),
              asked.length > 0 ? asked.join(', ') : html`<span class="dim">another package</span>`,
            ]),
          )
    }${vulnerabilities(facts)}${table(
      'Files of the deployment; contents of what may hold secrets have no sum here',
      ['path', 'owner', 'mode', 'SHA-256'],
      overlay
        .filter(({ type }) => type !== 'dir')
        .map(({ path, uid, gid, mode, target, sha256, own }) => [
          html`${code(path)}${own === true ? ' (EXTRA_FILES)' : ''}`,
          `${uid}:${gid}`,
          mode,
          sha256 === undefined
            ? target === undefined
              ? html`<span class="dim">not shown</span>`
              : html`→ ${code(target)}`
            : code(sha256.slice(0, 16)),
        ]),
    )}${table(
      'Files of the release that run with another’s rights',
      ['mode, owner, path'],
      root.setuid.map((line) => [code(line)]),
    )}`;
}

export function configuration({ configuration: settings }: ImageFacts): Html {
  return table(
    'Every key, its value, and where it came from; secrets are hidden',
    ['key', 'value', 'from'],
    Object.entries(settings).map(([key, { value, origin }]) => [
      code(key),
      value === '' ? html`<span class="dim">empty</span>` : code(value),
      origin === 'default' ? html`<span class="dim">default</span>` : origin,
    ]),
  );
}

export function sizes({ images, root, baseImage }: ImageFacts): Html {
  const iso = images.find(({ format }) => format === 'iso');
  const slot = baseImage.slot.length;
  const parts: (readonly [string, number])[] = [
    ['root file system, compressed', root.compressedBytes],
    ['overlay slot of the deployment', slot],
    ...(iso
      ? [['kernel, loader, EFI system partition', iso.bytes - root.compressedBytes - slot] as const]
      : []),
  ];
  const whole = parts.reduce((sum, [, size]) => sum + size, 0);
  return html`${table(
      'Images',
      ['image', 'size', 'SHA-256'],
      images.map(({ name, bytes: size, sha256 }) => [name, bytes(size), code(sha256)]),
    )}${table(
      'An ISO by its parts',
      ['part', 'size', 'share'],
      parts.map(([name, size]) => [
        name,
        bytes(size),
        html`<meter min="0" max="${Math.max(1, whole)}" value="${size}" aria-label="${name}">
          ${bytes(size)}
        </meter>`,
      ]),
    )}
    <p class="dim">
      Unpacked, the root is a file system of ${bytes(root.imageBytes)} with ${bytes(root.bytes)} in files.
      Left out of the release:
      ${
        Object.entries(root.pruned)
          .map(([why, count]) => `${count} files (${why})`)
          .join(', ') || 'nothing'
      }.
    </p>`;
}

export function times({ stages }: ImageFacts): Html {
  return table(
    'Stages of the build',
    ['stage', 'what was done', 'time'],
    stages.map(({ stage, action, seconds }) => [
      stage,
      action === 'run' ? 'run' : 'taken from the cache',
      seconds === undefined ? '' : duration(seconds),
    ]),
  );
}

export function since({ since: last }: ImageFacts): Html {
  if (!last) return html`<p>There was no image of this deployment in the folder before this one.</p>`;
  const { finished, changes } = last;
  return changes.length === 0
    ? html`<p>Nothing: the image of ${finished} was made of the same.</p>`
    : table(
        `Against the image of ${finished}`,
        ['what', 'before', 'now'],
        changes.map(({ what, before, now }) => [what, code(before), code(now)]),
      );
}
