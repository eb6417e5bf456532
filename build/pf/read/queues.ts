import { MAX } from './cursor.js';
import type { Cursor } from './cursor.js';
import { readInterfaces } from './match.js';

/** `altq-rule` and `queue-rule`: read into text. */
export function readQueue(c: Cursor): void {
  const { text: kind, place } = c.advance();
  const words = [kind];
  if (kind === 'queue') words.push(c.name('the name of a queue', MAX.queue));
  if (kind === 'altq' && !c.is('on')) c.fail('altq needs an interface');
  const interfaces = readInterfaces(c);
  if (interfaces.some(({ not }) => not)) c.fail('a queue takes no negated interface', place);
  if (interfaces.length > 0) words.push('on', interfaces.map(({ name }) => name).join(' '));
  let scheduler = false;
  for (;;) {
    if (c.take('bandwidth')) words.push('bandwidth', readBandwidth(c));
    else if (c.take('priority')) words.push('priority', String(c.number('priority', 0, 255)));
    else if (c.take('qlimit')) words.push('qlimit', String(c.number('qlimit', 0, 65535)));
    else if (c.is('tbrsize')) {
      if (kind === 'queue') c.fail('"tbrsize" is for altq alone');
      c.advance();
      words.push('tbrsize', String(c.number('tbrsize', 0, 0xffffffff)));
    } else if (c.is('cbq', 'priq', 'hfsc', 'fairq', 'codelq')) {
      if (scheduler) c.fail('the scheduler is given twice');
      scheduler = true;
      const name = c.advance().text;
      words.push(
        c.isSymbol('(') ? `${name}(${c.parenthesised(() => readSchedulerOption(c, name)).join(', ')})` : name,
      );
    } else break;
  }
  if (kind === 'altq') {
    if (!scheduler) c.fail('altq needs a scheduler', place);
    c.need('queue');
  }
  if (c.isName() || c.isSymbol('{')) {
    const children = c.listOf(() => c.name('the name of a queue', MAX.queue));
    words.push(...(kind === 'altq' ? ['queue'] : []), `{ ${children.join(' ')} }`);
  }
  c.out.queues.push({ text: words.join(' '), place });
}

function readBandwidth(c: Cursor): string {
  const { text, place } = c.token;
  const good =
    c.token.type === 'number'
      ? Number(text) >= 0
      : c.isName() && /^\d+(?:\.\d+)?(?:b|[KMG](?:b|B|bit|Bit)?|%)$/.test(text);
  if (!good) c.fail(`${c.describe()} is no bandwidth`);
  if (text.endsWith('%') && Number(text.slice(0, -1)) > 100) c.fail('a bandwidth is 100% at most', place);
  return c.advance().text;
}

function readSchedulerOption(c: Cursor, scheduler: string): string {
  if (c.is('linkshare', 'realtime', 'upperlimit')) {
    const curve = c.advance().text;
    if (!c.isSymbol('(')) return `${curve} ${readBandwidth(c)}`;
    return `${curve} (${c.parenthesised(() => readBandwidth(c)).join(' ')})`;
  }
  if (c.is('interval', 'target', 'buckets'))
    return `${c.advance().text} ${c.numeral('a number', 0, 0xffffffff)}`;
  if (c.take('hogs')) return `hogs ${readBandwidth(c)}`;
  const flags: Readonly<Record<string, readonly string[]>> = {
    cbq: ['default', 'borrow', 'red', 'ecn', 'rio', 'codel'],
    priq: ['default', 'red', 'ecn', 'rio', 'codel'],
    hfsc: ['default', 'red', 'ecn', 'rio', 'codel'],
    fairq: ['default', 'red', 'ecn', 'rio', 'codel'],
    codelq: ['ecn'],
  };
  return c.word(`an option of ${scheduler}`, flags[scheduler] ?? []);
}
