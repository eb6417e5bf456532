import { readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  secondsOf,
  stepFiles,
  stepFlaws,
  STEPS_ENDED,
  stepTold,
  typedOn,
} from '../../../build/boot/steps.js';
import type { Step } from '../../../build/boot/steps.js';
import { tmp } from '../../helpers/tmp.js';

const list: Step = {
  name: 'list',
  check: 'plan',
  typed: 'bastille list',
  shows: [/^ 1 +w1 .* Up /m],
  hides: [/Down/],
  tells: /Up/,
};

/** What a console shows of one step, among lines of the kernel. */
const said = (name: string, code: number, ...lines: string[]): string =>
  [
    `login: `,
    `===step 001.${name} begun`,
    ...lines.map((line) => `| ${line}`),
    'epair0a: link state changed to UP',
    '',
    `===step 001.${name} ended ${code} 3`,
    '',
  ].join('\n');

describe('what is typed on an instance', () => {
  it('is a file a step, in order, with its time limit', () => {
    expect(stepFiles('etc/x', [list, { ...list, name: 'later', seconds: 600 }])).toEqual([
      { path: 'etc/x/001.list', mode: 0o444, body: '# 120 seconds\nbastille list\n' },
      { path: 'etc/x/002.later', mode: 0o444, body: '# 600 seconds\nbastille list\n' },
    ]);
    expect(secondsOf([list, { ...list, seconds: 600 }])).toBe(720);
  });

  it('is read from the console, without what others say between', () => {
    const typed = typedOn(
      `${said('list', 0, ' 1 w1 on 99 Up thin', '')}${said('next', 7)}===step 003.cut begun\n| x\n`,
    );
    expect([...typed.keys()]).toEqual(['list', 'next']);
    expect(typed.get('list')).toEqual({ code: 0, seconds: 3, lines: [' 1 w1 on 99 Up thin', ''] });
    expect(typed.get('next')?.code).toBe(7);
  });

  it('holds where it ends and shows as it has to', () => {
    const typed = typedOn(said('list', 0, ' 1    w1   on 99  Up   thin')).get('list');
    expect(stepFlaws(list, typed)).toEqual([]);
    expect(stepTold(list, typed)).toEqual(['1 w1 on 99 Up thin']);
  });

  it.each<[string, Partial<Step>, string, string]>([
    ['it was not typed', { name: 'other' }, said('list', 0), 'was not typed'],
    ['it did not end', {}, '===step 001.list begun\n|  1 w1 on 99 Up thin\n', 'did not come to its end'],
    ['it failed', {}, said('list', 1, ' 1 w1 on 99 Up thin'), 'ended with 1, not 0'],
    ['it took too long', {}, said('list', 124, ' 1 w1 on 99 Up thin'), 'it took too long'],
    ['it was not refused', { ends: 'failing' }, said('list', 0, ' 1 w1 on 99 Up thin'), 'refused'],
    [
      'it hangs instead of being refused',
      { ends: 'failing' },
      said('list', 124, ' 1 w1 on 99 Up thin'),
      'refused',
    ],
    ['it does not show something', {}, said('list', 0, ' JID Name'), 'does not show ^ 1 +w1 .* Up '],
    [
      'it shows something',
      {},
      said('list', 0, ' 1 w1 on 99 Up thin', ' - w2 on 99 Down thin'),
      'shows: - w2',
    ],
  ])('fails where %s', (_, change, console, flaw) => {
    const step = { ...list, ...change };
    expect(stepFlaws(step, typedOn(console).get(step.name)).join('\n')).toContain(flaw);
  });

  it('is typed by the script of the image: output, exit code and time limit of each', async () => {
    const folder = await tmp();
    const steps = join(folder, 'steps');
    mkdirSync(steps);
    const files = stepFiles('', [
      { ...list, name: 'good', typed: "printf 'one\\ntwo'" },
      { ...list, name: 'bad', typed: 'echo sorry >&2\nexit 7' },
      { ...list, name: 'long', typed: 'sleep 30', seconds: 1 },
      { ...list, name: 'asks', typed: 'read answer || echo nobody answers' },
    ]);
    for (const { path, body } of files) writeFileSync(join(steps, path), body);
    const script = readFileSync('overlays/inspect/clawdie_inspect', 'utf8');
    const body = /^clawdie_inspect_type\(\)\n\{\n[\s\S]*?^\}/m.exec(script)?.[0] ?? '';
    const text = `clawdie_inspect_again() { false; }\n${body
      .replaceAll('/etc/clawdie/inspect.d', steps)
      .replaceAll('> /dev/console', '')
      .replaceAll('/var/run/inspect.said', join(folder, 'said'))}\nclawdie_inspect_type\n`;
    const result = spawnSync('sh', ['-c', text], { encoding: 'utf8' });
    expect(result.stderr).toBe('');
    const typed = typedOn(result.stdout);
    expect([...typed].map(([name, { code, lines }]) => [name, code, lines])).toEqual([
      ['good', 0, ['one', 'two']],
      ['bad', 7, ['sorry']],
      ['long', 124, []],
      ['asks', 0, ['nobody answers']],
    ]);
    expect(STEPS_ENDED.test(result.stdout)).toBe(true);
  });
});
