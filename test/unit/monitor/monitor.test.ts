import { describe, expect, it } from 'vitest';
import { bar, bytes, duration } from '../../../build/monitor/format.js';
import { jsonMonitor, plainMonitor } from '../../../build/monitor/plain.js';
import { terminalMonitor } from '../../../build/monitor/terminal.js';
import type { BuildEvent } from '../../../build/pipeline/events.js';

const events: readonly BuildEvent[] = [
  {
    type: 'plan',
    stages: [
      { stage: 'overlay', action: 'run' },
      { stage: 'rootfs', action: 'reuse' },
    ],
  },
  { type: 'start', stage: 'stamp' },
  { type: 'doing', text: 'Downloading base.txz from https://download.freebsd.org' },
  { type: 'progress', stage: 'stamp', label: 'writing', done: 1, total: 2, unit: 'bytes' },
  { type: 'done', stage: 'stamp', seconds: 1.234 },
  { type: 'warning', text: 'careful' },
  {
    type: 'result',
    images: [
      { path: '/d/a.iso', sha256: 'abc', bytes: 1_500_000 },
      { path: '/d/a.qcow2', sha256: 'def', bytes: 2 },
    ],
    record: '/d/a.json',
    seconds: 61,
  },
];

describe('monitors', () => {
  it('print plain lines, without colour', () => {
    const lines: string[] = [];
    const monitor = plainMonitor((line) => lines.push(line));
    for (const event of events) monitor.emit(event);
    expect(lines).toEqual([
      'From the cache: Root file system.',
      'Downloading base.txz from https://download.freebsd.org',
      'Image: done in 1.23 s',
      'Warning: careful',
      'Image:  /d/a.iso (1.50 MB)',
      'SHA256: abc',
      'Image:  /d/a.qcow2 (2 B)',
      'SHA256: def',
      'Record: /d/a.json (in 61.0 s)',
    ]);
  });

  it('print sentences in lines as wide as the terminal, and in one for a file; what is copied stays whole', () => {
    const text = 'nothing says which versions of bastille an instance gets. '.repeat(4).trim();
    const path = `/d/a long path with blanks in it ${'x'.repeat(60)}.iso`;
    const all: readonly BuildEvent[] = [
      { type: 'warning', text },
      { type: 'note', text },
      { type: 'result', images: [{ path, sha256: 'abc', bytes: 2 }], record: '/d/a.json', seconds: 1 },
    ];
    const [wide, narrow]: [string[], string[]] = [[], []];
    for (const event of all) {
      plainMonitor((line) => wide.push(line)).emit(event);
      terminalMonitor(
        (line) => narrow.push(line),
        () => 60,
      ).emit(event);
    }
    expect(wide.slice(0, 2)).toEqual([`Warning: ${text}`, text]);
    expect(narrow.filter((line) => line.length > 60)).toEqual([`Image:  ${path} (2 B)`]);
    expect(narrow.join(' ').replace(/ +/g, ' ')).toBe(wide.join(' ').replace(/ +/g, ' '));
  });

  it('print one event a line, as JSON', () => {
    const lines: string[] = [];
    const monitor = jsonMonitor((line) => lines.push(line));
    for (const event of events) monitor.emit(event);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(events);
  });
});

describe('figures', () => {
  it('are for people', () => {
    expect([0, 999, 1000, 12_345_678, 1e12].map(bytes)).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '12.3 MB',
      '1.00 TB',
    ]);
    expect([0.123, 12.34, 125].map(duration)).toEqual(['0.12 s', '12.3 s', '2 min 5 s']);
    expect([bar(0, 4), bar(0.5, 4), bar(2, 4)]).toEqual(['....', '##..', '####']);
  });
});
