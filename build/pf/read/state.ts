import { adaptiveOf, TIMEOUTS } from '../names.js';
import type { StateOptions } from '../types.js';
import type { Cursor, Mutable } from './cursor.js';
import { readTableName } from './hosts.js';

/** `state-opts`, of a rule or of `set state-defaults`. */
export function readStateOptions(c: Cursor, atEnd: () => boolean): StateOptions {
  const state: Mutable<StateOptions> = {};
  const timeouts: Record<string, number> = {};
  const set = <K extends keyof StateOptions>(name: K, value: StateOptions[K]): void => {
    if (state[name] !== undefined) c.fail(`the state option "${name}" is given twice`);
    state[name] = value;
  };
  const positive = (what: string): number => c.number(what, 1, 0xffffffff);
  while (!atEnd()) {
    if (c.take('max')) {
      // 0 is none, and is printed as none.
      const most = c.number('max', 0, 0xffffffff);
      if (most > 0) set('max', most);
    } else if (c.take('no-sync')) set('noSync', true);
    else if (c.take('max-src-states')) set('maxSrcStates', positive('max-src-states'));
    else if (c.take('max-src-conn')) set('maxSrcConn', positive('max-src-conn'));
    else if (c.take('max-src-nodes')) set('maxSrcNodes', positive('max-src-nodes'));
    else if (c.take('max-src-conn-rate')) {
      const limit = positive('max-src-conn-rate');
      c.needSymbol('/');
      set('maxSrcConnRate', { limit, seconds: positive('max-src-conn-rate') });
    } else if (c.take('overload')) {
      const table = readTableName(c);
      const flush = c.take('flush');
      set('overload', { table, flush, global: flush && c.take('global') });
    } else if (c.take('source-track'))
      set('sourceTrack', c.take('rule') ? 'rule' : c.take('global') ? 'global' : 'default');
    else if (c.take('if-bound')) set('lock', 'if-bound');
    else if (c.take('floating')) set('lock', 'floating');
    else if (c.take('sloppy')) set('sloppy', true);
    else if (c.take('pflow')) set('pflow', true);
    else if (c.is('allow-related'))
      c.fail('"allow-related" lets in connections that no rule speaks of: it is not proved');
    else {
      const { place, text } = c.token;
      if (!c.isName() || !TIMEOUTS.has(text) || !text.includes('.'))
        c.fail(`${c.describe()} is no state option`);
      c.advance();
      if (timeouts[text] !== undefined) c.fail(`the timeout ${text} is given twice`, place);
      timeouts[text] = c.number('the timeout', 0, 0xffffffff);
    }
    if (c.takeSymbol(',') && atEnd()) c.fail('a state option has to follow a comma');
  }
  // Said or not, they are the same.
  const implied: Readonly<Record<string, number>> = state.max === undefined ? {} : adaptiveOf(state.max);
  const same = Object.entries(implied).every(([name, value]) => timeouts[name] === value);
  const said = Object.entries(timeouts).filter(([name]) => !same || implied[name] === undefined);
  return said.length > 0 ? { ...state, timeouts: Object.fromEntries(said) } : state;
}
