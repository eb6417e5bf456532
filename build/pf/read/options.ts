import { LIMITS, TIMEOUTS } from '../names.js';
import { MAX } from './cursor.js';
import type { Cursor } from './cursor.js';
import { readStateOptions } from './state.js';

/** `option`: one line of `set`. */
export function readOption(c: Cursor): void {
  const { place } = c.advance();
  const put = (text: string): void => {
    c.out.options.push({ text: `set ${text}`, place });
    if (text !== 'state-defaults') c.out.said.push(`set ${text}`);
  };
  const inOrder = (): void => {
    c.inSection('options', place);
  };
  const { text: name } = c.token;
  if (c.token.type !== 'keyword' && !c.isName()) c.fail('an option has to follow "set"');
  c.advance();
  switch (name) {
    case 'reassemble': {
      inOrder();
      const value = c.word('reassemble', ['yes', 'no']);
      put(`reassemble ${value}${c.take('no-df') ? ' no-df' : ''}`);
      return;
    }
    case 'optimization':
      inOrder();
      put(
        `optimization ${c.word('optimization', ['default', 'normal', 'high-latency', 'satellite', 'aggressive', 'conservative'])}`,
      );
      return;
    case 'ruleset-optimization':
      put(`ruleset-optimization ${c.word('ruleset-optimization', ['none', 'basic', 'profile'])}`);
      return;
    case 'timeout':
      inOrder();
      for (const text of c.listOf(() => readTimeout(c))) put(`timeout ${text}`);
      return;
    case 'limit':
      inOrder();
      for (const text of c.listOf(
        () => `${c.word('limit', [...LIMITS])} ${c.number('the limit', 0, 0xffffffff)}`,
      ))
        put(`limit ${text}`);
      return;
    case 'loginterface':
      inOrder();
      put(`loginterface ${c.take('all') ? 'all' : c.name('an interface', MAX.interface)}`);
      return;
    case 'hostid':
      put(`hostid 0x${c.numeral('hostid', 1, 0xffffffff).toString(16).padStart(8, '0')}`);
      return;
    case 'block-policy':
      inOrder();
      c.blockPolicy = c.word('block-policy', ['drop', 'return']) as 'drop' | 'return';
      put(`block-policy ${c.blockPolicy}`);
      return;
    case 'fail-policy':
      inOrder();
      put(`fail-policy ${c.word('fail-policy', ['drop', 'return'])}`);
      return;
    case 'require-order': {
      const value = c.word('require-order', ['yes', 'no']);
      c.requireOrder = value === 'yes';
      put(`require-order ${value}`);
      return;
    }
    case 'fingerprints':
      inOrder();
      put(`fingerprints "${c.name('the name of a file')}"`);
      return;
    case 'state-policy':
      c.statePolicy = c.word('state-policy', ['if-bound', 'floating']) as 'if-bound' | 'floating';
      put(`state-policy ${c.statePolicy}`);
      return;
    case 'state-defaults':
      if (c.stateDefaults) c.fail('state-defaults is set twice', place);
      c.stateDefaults = readStateOptions(c, () => c.atLineEnd());
      put('state-defaults');
      return;
    case 'debug':
      inOrder();
      put(
        `debug ${c.word('debug', ['none', 'urgent', 'misc', 'loud', 'emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'])}`,
      );
      return;
    case 'skip': {
      c.need('on');
      const names = c.listOf(() => {
        if (c.isSymbol('!')) c.fail('"skip on" takes no negated interface');
        return c.name('an interface', MAX.interface);
      });
      if (names.join() !== 'none') c.out.skip.push(...names);
      put(names.join() === 'none' ? 'skip on none' : `skip on { ${names.join(' ')} }`);
      return;
    }
    case 'keepcounters':
      put('keepcounters');
      return;
    case 'syncookies': {
      const value = c.word('syncookies', ['never', 'always', 'adaptive']);
      const bounds = c.isSymbol('(')
        ? c.parenthesised(() => `${c.word('a watermark', ['start', 'end'])} ${c.name('a percentage')}`)
        : [];
      put(`syncookies ${value}${bounds.length > 0 ? ` (${bounds.join(', ')})` : ''}`);
      return;
    }
    default:
      c.fail(`there is no option "${name}"`, place);
  }
}

function readTimeout(c: Cursor): string {
  const name = c.word('timeout', [...TIMEOUTS]);
  return `${name} ${c.number('the timeout', 0, 0xffffffff)}`;
}
