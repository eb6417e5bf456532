import type { Place, RuleSpec, ScrubOptions } from '../types.js';
import type { Cursor } from './cursor.js';
import { NO_LISTS, isTagged, readDirection, readLogQuick, readMatch, readTagged } from './match.js';
import { readTos } from './tos.js';

/** `scrub` and `no scrub`. */
export function readScrubRule(c: Cursor, action: 'scrub' | 'no scrub', start?: Place): RuleSpec {
  const token = c.advance();
  const place = start ?? token.place;
  const direction = readDirection(c);
  const { log, quick } = readLogQuick(c);
  if (quick) c.fail('scrub rules do not know "quick"', place);
  const match = readMatch(c);
  const { scrub, tagged, rtable } = readScrubOptions(c, () => c.atLineEnd());
  if (scrub.reassembleTcp === true && direction) c.fail('"reassemble tcp" takes no direction', place);
  return {
    place,
    action,
    quick: false,
    ...match,
    ...NO_LISTS,
    options: {
      state: {},
      labels: [],
      scrub,
      ...(tagged && { tagged }),
      ...(rtable !== undefined && { rtable }),
    },
    ...(direction && { direction }),
    ...(log && { log }),
  };
}

/** What a scrub rule does, up to where it ends. */
export function readScrubOptions(
  c: Cursor,
  atEnd: () => boolean,
): {
  scrub: ScrubOptions;
  tagged?: { name: string; not: boolean };
  rtable?: number;
} {
  let scrub: ScrubOptions = {};
  const more: { tagged?: { name: string; not: boolean }; rtable?: number } = {};
  while (!atEnd()) {
    if (isTagged(c)) more.tagged = readTagged(c);
    else if (c.take('rtable')) more.rtable = c.number('rtable', 0, 65535);
    else {
      const { place } = c.token;
      const option = readScrubOption(c);
      if (Object.keys(option).some((name) => name in scrub)) c.fail('a scrub option is given twice', place);
      scrub = { ...scrub, ...option };
    }
    if (c.takeSymbol(',') && atEnd()) c.fail('a scrub option has to follow a comma');
  }
  return { scrub, ...more };
}

/** One of the things that normalisation does. */
function readScrubOption(c: Cursor): ScrubOptions {
  if (c.take('no-df')) return { noDf: true };
  if (c.take('random-id')) return { randomId: true };
  if (c.take('min-ttl')) return { minTtl: c.number('min-ttl', 0, 255) };
  if (c.take('max-mss')) return { maxMss: c.number('max-mss', 0, 65535) };
  if (c.take('set-tos')) return { setTos: readTos(c) };
  if (c.take('reassemble')) {
    c.word('what to reassemble', ['tcp', 'TCP']);
    return { reassembleTcp: true };
  }
  if (c.take('fragment')) {
    if (c.take('no')) {
      c.need('reassemble');
      return { fragmentReassemble: false };
    }
    c.need('reassemble');
    return { fragmentReassemble: true };
  }
  return c.fail(`${c.describe()} is no scrub option`);
}
