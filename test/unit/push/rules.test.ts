import { expect, it } from 'vitest';
import type { Outcome } from '../../../build/host/process.js';
import { pushRules } from '../../../build/push/rules.js';

const said = (code: number | null, stdout = '', stderr = ''): Outcome => ({ code, stdout, stderr });
const CUT = said(255, '', 'Connection to 203.0.113.10 closed by remote host.');
const REFUSED = said(255, '', 'ssh: connect to host 203.0.113.10 port 22: Connection refused');

/**
 * A push to an instance whose `try` ends `after` seconds with `tried`, and whose confirmations are answered so. Time goes on where
 * somebody sleeps.
 */
async function push(tried: Outcome, after: number, confirmed: readonly Outcome[] = []) {
  const asked: { command: string; at: number; input: string }[] = [];
  const waiting: { at: number; resolve: () => void }[] = [];
  let now = 0;
  let confirms = 0;
  const reach = async (time: number): Promise<void> => {
    now = Math.max(now, time);
    for (const one of waiting.filter(({ at }) => at <= now)) one.resolve();
    await Promise.resolve();
  };
  const ending = await pushRules(Buffer.from('pass in proto tcp to port 8080\n'), 'abc', {
    remote: async ([, ...command], input) => {
      asked.push({ command: command.join(' '), at: now, input: input?.toString() ?? '' });
      if (command[0] === 'try') {
        if (after > 0) await new Promise<void>((resolve) => waiting.push({ at: after, resolve }));
        return tried;
      }
      return confirmed[confirms++] ?? CUT;
    },
    sleep: async (seconds, until) => {
      await Promise.resolve();
      await Promise.resolve();
      if (until?.aborted === true) throw new Error('The operation was aborted');
      await reach(now + seconds);
    },
    say: () => undefined,
    wait: 900,
  });
  return { ending, asked };
}

it('confirms in a new login, of the overlay that the rules were proved with, and no sooner than the firewall lets in', async () => {
  const { ending, asked } = await push(said(0, 'clawdie-pf: confirmed'), 26, [said(0, 'the rules stay')]);
  expect(ending).toEqual({ runs: 'new', words: 'the rules stay' });
  expect(asked).toEqual([
    { command: 'try --overlay abc -', at: 0, input: 'pass in proto tcp to port 8080\n' },
    { command: 'confirm', at: 25, input: '' },
  ]);
});

it('says at once what refuses them, and asks nothing more', async () => {
  const words = 'clawdie-pf: another overlay than abc is in force here; nothing was changed.';
  const { ending, asked } = await push(said(1, '', words), 0);
  expect(ending).toEqual({ runs: 'old', words });
  expect(asked).toHaveLength(1);
});

it('says that nothing was given where nobody was logged in', async () => {
  expect((await push(REFUSED, 0)).ending.runs).toBe('unreached');
});

it('tells rules that were taken back from those that nobody knows of', async () => {
  const back = said(1, '', 'clawdie-pf: the old rules are in force again: it was not confirmed within 60 s.');
  // Rules that let no new connection in, and leave the old one.
  expect((await push(back, 60, [CUT, CUT])).ending.runs).toBe('old');
  // Or that one neither.
  const { ending, asked } = await push(CUT, 3, [CUT, CUT]);
  expect(ending.runs).toBe('unknown');
  expect(asked.map(({ at }) => at)).toEqual([0, 25, 50]);
  // It came too late.
  expect((await push(CUT, 3, [said(1, '', 'there is nothing to confirm')])).ending.runs).toBe('old');
});

it('knows by what tried them of a confirmation whose answer was lost', async () => {
  const kept = said(0, 'clawdie-pf: confirmed');
  const late = said(1, '', 'there is nothing to confirm');
  expect((await push(kept, 30, [CUT, late])).ending).toEqual({ runs: 'new', words: 'clawdie-pf: confirmed' });
  expect((await push(kept, 55, [CUT, CUT])).ending.runs).toBe('new');
  // Where that one was cut as well nobody knows.
  expect((await push(CUT, 3, [CUT, late])).ending.runs).toBe('unknown');
});

it('asks again where an instance is so slow that there is nothing to confirm yet', async () => {
  const early = said(1, '', 'there is nothing to confirm');
  const kept = said(0, 'the rules stay');
  const { ending, asked } = await push(said(0, 'confirmed'), 130, [early, CUT, early, kept]);
  expect(ending).toEqual({ runs: 'new', words: 'the rules stay' });
  expect(asked.map(({ at }) => at)).toEqual([0, 25, 50, 75, 100]);
});
