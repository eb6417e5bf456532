import { wrap } from '../wrap.js';
import { CHECKS } from './checks.js';
import { JAIL_CHECKS } from './jails/checks.js';
import type { CheckResult } from './checks.js';
import type { Firmware, Media } from './machine.js';
import type { Frame } from './screen.js';
import type { Reached } from './stages.js';

/** What one start of an image came to. */
export interface StartReport {
  readonly firmware: Firmware;
  readonly media: Media;
  readonly accelerator: string;
  readonly memory: string;
  readonly card: string;
  /** The last stage reached: of the chain, or `sample`. */
  readonly reached: string;
  /** Why the boot went no further than that; undefined where it came to its end. */
  readonly stopped?: string;
  readonly stages: readonly Reached[];
  /** seconds to the guest's first frame */
  readonly firstFrame?: number;
  readonly probes: number;
  readonly checks: readonly CheckResult[];
  /** What was made to go wrong (its boot may have had to stop), or `inside`. */
  readonly fault?: string;
  /** How it looked on its way. */
  readonly frames?: readonly Frame[];
  /** Last lines of the console, where the boot stopped. */
  readonly console: readonly string[];
  readonly log: string;
}

export interface BootReport {
  readonly image: string;
  readonly sha256: string;
  readonly ok: boolean;
  readonly starts: readonly StartReport[];
}

/** Whether a start came to its end, or had to stop and did, and no check failed. */
export function startHeld(start: StartReport): boolean {
  const ended = start.stopped === undefined || hadToStop(start);
  return ended && start.checks.every(({ state }) => state !== 'failed');
}

function hadToStop({ checks }: StartReport): boolean {
  return checks.some(({ id }) => id === 'closed');
}

function nameOf({ firmware, media, fault }: StartReport): string {
  return fault === undefined ? `${firmware}, ${media}` : `${firmware}, ${media}, ${fault}`;
}

const CHECK_TEXTS: Readonly<Record<string, string>> = { ...CHECKS, ...JAIL_CHECKS };

/** A report for people: a table for every start. */
export function table(report: BootReport, columns: number): readonly string[] {
  const lines: string[] = [];
  const add = (text: string, indent: number, hang = indent + 2): void =>
    void lines.push(...wrap(' '.repeat(indent) + text, columns, hang));
  for (const start of report.starts) {
    lines.push(
      `${nameOf(start)}: ${startHeld(start) ? 'held' : 'FAILED'}  (${start.accelerator}, ${start.memory}, ${start.card}; ${start.probes} probes)`,
    );
    const times = start.stages.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)}`);
    if (times.length > 0) add(`seconds: ${times.join(', ')}`, 2);
    if (start.reached === 'sample')
      add('This is the sample image: it said its message, and holds nothing to check.', 2);
    if (start.stopped !== undefined) {
      add(`stopped after ${start.reached}: ${start.stopped}`, 2);
      for (const line of start.console) lines.push(`    | ${line}`.slice(0, columns));
    }
    for (const { id, state, detail, packets } of start.checks) {
      const mark = state === 'held' ? 'ok' : state === 'failed' ? 'FAIL' : '-';
      const said = state === 'not looked at' ? `not looked at: ${detail}` : detail;
      add(`${mark.padEnd(4)}  ${id.padEnd(8)}  ${said}`, 2, 18);
      for (const packet of packets.slice(0, 5)) add(packet, 18);
      if (packets.length > 5) lines.push(`${' '.repeat(18)}… and ${packets.length - 5} more, see the report`);
    }
  }
  return lines;
}

/** The report as JUnit XML, which CI engines show: a suite for every start, a case for its boot and for every check. */
export function junit(report: BootReport): string {
  const suites = report.starts.map((start) => {
    const name = nameOf(start);
    const broken = start.stopped !== undefined && !hadToStop(start);
    const booted = start.stages.at(-1)?.seconds ?? 0;
    const cases = [
      element(
        'testcase',
        { classname: name, name: 'boot', time: booted.toFixed(3) },
        !broken
          ? ''
          : element(
              'failure',
              { message: `stopped after ${start.reached}: ${start.stopped ?? ''}` },
              escape(start.console.join('\n')),
            ),
      ),
      ...start.checks.map(({ id, state, detail, seconds, packets }) =>
        element(
          'testcase',
          {
            classname: name,
            name: `${id}: ${CHECK_TEXTS[id] ?? ''}`,
            time: seconds.toFixed(3),
          },
          state === 'held'
            ? ''
            : state === 'failed'
              ? element('failure', { message: detail }, escape(packets.join('\n')))
              : element('skipped', { message: detail }),
        ),
      ),
    ];
    return element(
      'testsuite',
      {
        name,
        tests: String(cases.length),
        failures: String(start.checks.filter(({ state }) => state === 'failed').length + (broken ? 1 : 0)),
        skipped: String(start.checks.filter(({ state }) => state.startsWith('not ')).length),
      },
      cases.join(''),
    );
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('testsuites', {}, suites.join(''))}`;
}

function element(name: string, attributes: Readonly<Record<string, string>>, body = ''): string {
  const pairs = Object.entries(attributes).map(([key, value]) => ` ${key}="${escape(value)}"`);
  return `<${name}${pairs.join('')}>${body}</${name}>\n`;
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '');
}
