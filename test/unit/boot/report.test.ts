import { describe, expect, it } from 'vitest';
import { junit, startHeld, table } from '../../../build/boot/report.js';
import type { BootReport, StartReport } from '../../../build/boot/report.js';

const start: StartReport = {
  firmware: 'bios',
  media: 'cd',
  accelerator: 'tcg',
  memory: '1G',
  card: 'virtio-net-pci',
  reached: 'login',
  stages: [
    { name: 'kernel', seconds: 3.21 },
    { name: 'login', seconds: 60 },
  ],
  probes: 12,
  checks: [{ id: 'udp', state: 'held', detail: '38 probes, no answer', seconds: 1.5, packets: [] }],
  console: [],
  log: 'x.log',
};
const failed: StartReport = {
  ...start,
  media: 'disk',
  checks: [
    {
      id: 'tcp',
      state: 'failed',
      detail: '7 answers & more',
      seconds: 2,
      packets: Array.from({ length: 7 }, (_, index) => `open: <${index}>`),
    },
    { id: 'udp', state: 'not applicable', detail: 'nothing there', seconds: 0, packets: [] },
  ],
};
const stuck: StartReport = {
  ...start,
  firmware: 'uefi',
  reached: 'kernel',
  stopped: 'the kernel panicked',
  checks: [],
  console: ['panic: "x" <y>'],
};
const closed: StartReport = {
  ...stuck,
  fault: 'slot-damaged',
  checks: [{ id: 'closed', state: 'held', detail: 'stopped', seconds: 9, packets: [] }],
};
const report = (...starts: readonly StartReport[]): BootReport => ({
  image: 'a.iso',
  sha256: '0',
  ok: starts.every(startHeld),
  starts,
});

describe('a report', () => {
  it('is held only where the boot came to its end, or had to stop and did, and no check failed', () => {
    expect([start, failed, stuck, closed].map(startHeld)).toEqual([true, false, false, true]);
    expect(
      startHeld({
        ...closed,
        checks: [{ ...closed.checks[0], id: 'closed', state: 'failed', detail: '', seconds: 0, packets: [] }],
      }),
    ).toBe(false);
  });

  it('is a table that fits the terminal, with the packets of what failed', () => {
    for (const columns of [60, 100]) {
      const lines = table(report(start, failed, stuck, closed), columns);
      const text = lines.join('\n');
      for (const line of lines.slice(1).filter((each) => each.startsWith(' ')))
        expect(line.length).toBeLessThanOrEqual(columns);
      expect(text).toContain('bios, cd: held');
      expect(text).toContain('bios, disk: FAILED');
      expect(text).toContain('open: <4>');
      expect(text).not.toContain('open: <5>');
      expect(text).toContain('… and 2 more');
      expect(text).toContain('stopped after kernel: the kernel panicked');
      expect(text).toContain('uefi, cd, slot-damaged: held');
    }
  });

  it('is JUnit XML that holds every packet, escaped', () => {
    const xml = junit(report(start, failed, stuck, closed));
    expect(xml).toContain('<testsuite name="bios, disk" tests="3" failures="1" skipped="1">');
    expect(xml).toContain('<testsuite name="uefi, cd" tests="1" failures="1" skipped="0">');
    expect(xml).toContain('<testsuite name="uefi, cd, slot-damaged" tests="2" failures="0" skipped="0">');
    expect(xml).toContain('<failure message="7 answers &amp; more">');
    expect(xml).toContain('open: &lt;6&gt;');
    expect(xml).toContain('panic: &quot;x&quot; &lt;y&gt;');
    expect(xml.match(/<(?:testcase|testsuite|failure|skipped|testsuites)[ >]/g)?.length).toBe(
      xml.match(/<\/(?:testcase|testsuite|failure|skipped|testsuites)>/g)?.length,
    );
  });
});
