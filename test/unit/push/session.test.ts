import { expect, it } from 'vitest';
import { answerOf } from '../../../build/push/answer.js';
import { pushSlot } from '../../../build/push/session.js';
import type { Ending } from '../../../build/push/session.js';
import type { Outcome } from '../../../build/host/process.js';

const said = (code: number | null, stdout = '', stderr = ''): Outcome => ({ code, stdout, stderr });
const REFUSED = said(255, '', 'ssh: connect to host 203.0.113.10 port 22: Connection refused');
const CUT = said(255, '', 'Connection to 203.0.113.10 closed by remote host.');

/** A push to an instance that answers so, one after the other; the last answer again and again. */
async function push(answers: readonly Outcome[], wait = 300) {
  const asked: { command: string; at: number; bytes: number }[] = [];
  let now = 0;
  const ending: Ending = await pushSlot(Buffer.alloc(512), 'abc', {
    remote: (command, input) => {
      asked.push({ command: command.slice(1).join(' '), at: now, bytes: input?.length ?? 0 });
      return Promise.resolve(answers[Math.min(asked.length, answers.length) - 1] ?? CUT);
    },
    sleep: (seconds) => {
      now += seconds;
      return Promise.resolve();
    },
    say: () => undefined,
    wait,
  });
  return { ending, asked };
}

it('confirms once the instance is back, in logins that its firewall lets in', async () => {
  const { ending, asked } = await push([
    said(0),
    REFUSED,
    REFUSED,
    CUT,
    said(75, 'It waits.'),
    said(0, 'It stays.'),
  ]);
  expect(ending).toEqual({ runs: 'new', words: 'It stays.' });
  expect(asked.map(({ command }) => command)).toEqual(['overlay -', ...Array<string>(5).fill('confirm abc')]);
  expect(asked.map(({ bytes }) => bytes)).toEqual([512, 0, 0, 0, 0, 0]);
  // Those that may have come about: no fourth within a minute, which would shut this host out.
  const counted = asked.filter((_, index) => index !== 1 && index !== 2).map(({ at }) => at);
  for (const at of counted)
    expect(counted.filter((each) => each >= at && each <= at + 60).length).toBeLessThan(4);
});

it('asks what runs where the connection was cut in the middle, since the instance may have had all of it', async () => {
  expect((await push([CUT, said(0, 'It stays.')])).ending.runs).toBe('new');
  expect((await push([CUT, said(1, '', 'this overlay was not on trial here.')])).ending).toEqual({
    runs: 'old',
    words: 'this overlay was not on trial here.',
  });
});

it('tries again to begin where no login came about: nothing was asked of the instance', async () => {
  const busy = said(
    255,
    '',
    'Connection timed out during banner exchange\nConnection to 203.0.113.10 port 22 timed out',
  );
  const { ending, asked } = await push([busy, busy, said(0), said(0, 'It stays.')]);
  expect(ending.runs).toBe('new');
  expect(asked.map(({ command, at, bytes }) => [command, at, bytes])).toEqual([
    ['overlay -', 0, 512],
    ['overlay -', 25, 512],
    ['overlay -', 50, 512],
    ['confirm abc', 75, 0],
  ]);
  const never = await push([busy]);
  expect(never.ending.runs).toBe('unreached');
  expect(never.asked.map(({ command }) => command)).toEqual(Array<string>(4).fill('overlay -'));
});

it('says that the overlay before runs where it was refused, or taken back', async () => {
  expect((await push([said(1, '', 'clawdie-update: it is refused: it is not signed.')])).ending.runs).toBe(
    'old',
  );
  expect((await push([said(0), REFUSED, said(1, '', 'it was taken back')])).ending).toEqual({
    runs: 'old',
    words: 'it was taken back',
  });
  expect((await push([said(3)])).ending.runs).toBe('new');
});

it.each([
  REFUSED,
  said(255, '', 'ssh: Could not resolve hostname no.such.host.invalid: Name or service not known'),
  said(255, '', 'root@203.0.113.10: Permission denied (publickey).'),
  said(255, '', 'Host key verification failed.'),
])('says at once that nothing was sent where nobody was logged in: $stderr', async (answer) => {
  const { ending, asked } = await push([answer]);
  expect(asked).toHaveLength(1);
  expect(ending).toEqual({
    runs: 'unreached',
    words: expect.stringMatching(
      /[^.]\. Look at the address, the key, a firewall between, and the console\.$/,
    ) as string,
  });
});

it('does not guess where nobody answers any more', async () => {
  for (const silence of [REFUSED, CUT]) {
    const { ending, asked } = await push([said(0), silence]);
    expect(ending.runs).toBe('unknown');
    expect(asked.at(-1)?.at).toBeLessThanOrEqual(330);
  }
});

it('tells an instance without the program from one that refuses', () => {
  expect(answerOf(said(127, '', 'sh: /usr/local/sbin/clawdie-update: not found')).words).toContain(
    'does not have this program',
  );
  expect(answerOf(said(null)).kind).toBe('silent');
});

it('says why an instance takes nothing, which is not what it advises', async () => {
  const full =
    'warming up\nclawdie-update: there are 0 MB free. Nothing was changed.\n  See what is large: du -xh -d 2 /var';
  expect((await push([said(1, '', full)])).ending).toEqual({
    runs: 'old',
    words: 'clawdie-update: there are 0 MB free. Nothing was changed.',
  });
});
