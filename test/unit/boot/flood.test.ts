import { describe, expect, it } from 'vitest';
import { floodSyns, SYN_FLOOD } from '../../../build/boot/flood.js';
import { parseFrame, TCP } from '../../../build/boot/frames.js';

describe('a flood of SYNs', () => {
  it('comes from other addresses each time, at the rate that is said, and ends when it is told to', async () => {
    let now = 0;
    const frames: Buffer[] = [];
    const done = new AbortController();
    const carrier = {
      send: (frame: Buffer) => void frames.push(frame),
      // Time goes on by itself: a tenth of a second at each look.
      seconds: () => {
        now += 0.1;
        if (now > 3) done.abort();
        return now;
      },
    };
    const { sent, seconds } = await floodSyns(carrier, '203.0.113.15', 22, done.signal);
    expect(frames).toHaveLength(sent);
    expect(sent / seconds).toBeGreaterThan(0.8 * SYN_FLOOD.perSecond);
    expect(sent / seconds).toBeLessThanOrEqual(SYN_FLOOD.perSecond);
    const seen = new Set<string>();
    for (const bytes of frames) {
      const frame = parseFrame(bytes);
      if (frame?.kind !== 'ip') throw new Error('no packet');
      expect(frame).toMatchObject({ dst: '203.0.113.15', dstPort: 22, flags: TCP.syn });
      expect(frame.src).toMatch(/^198\.1[89]\./);
      seen.add(frame.src);
    }
    expect(seen.size).toBe(sent);
  });
});
