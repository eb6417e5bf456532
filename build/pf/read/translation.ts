import type { Options, Place, Pool, RuleSpec } from '../types.js';
import { MAX } from './cursor.js';
import type { Cursor, Mutable } from './cursor.js';
import { NO_LISTS, isTagged, readLog, readMatch, readTagged } from './match.js';
import { readPool } from './pools.js';

/** `nat-rule`, `rdr-rule` and `binat-rule`, and those with `no`. */
export function readTranslationRule(
  c: Cursor,
  kind: 'nat' | 'rdr' | 'binat',
  no: boolean,
  start?: Place,
): RuleSpec {
  const token = c.advance();
  const place = start ?? token.place;
  const natPass = c.take('pass');
  if (no && natPass) c.fail('"pass" cannot be with "no"', place);
  const log = readLog(c);
  const match = readMatch(c);
  const options: Mutable<Options> = { state: {}, labels: [] };
  if (c.take('tag')) options.tag = c.name('a tag', MAX.tag);
  if (isTagged(c)) options.tagged = readTagged(c);
  if (c.take('rtable')) options.rtable = c.number('rtable', 0, 65535);
  let pool: Pool | undefined;
  if (c.takeSymbol('->')) pool = readPool(c, kind === 'nat');
  if (no && pool) c.fail('a translation rule with "no" takes no "->"', place);
  if (!no && !pool) c.fail('a translation rule needs "-> address"', place);
  if (kind === 'binat' && (match.from.length > 1 || match.to.length > 1))
    c.fail('binat takes one address', place);
  if (kind === 'binat' && pool && pool.hosts.length !== 1) c.fail('binat takes one address', place);
  return {
    place,
    action: no ? `no ${kind}` : kind,
    quick: false,
    ...match,
    ...NO_LISTS,
    options,
    ...(natPass && { natPass }),
    ...(log && { log }),
    ...(pool && { pool }),
  };
}

/** An anchor of translation rules. */
export function readTranslationAnchor(
  c: Cursor,
  action: 'nat-anchor' | 'rdr-anchor' | 'binat-anchor',
): RuleSpec {
  const { place } = c.advance();
  const name = c.names('the name of an anchor', MAX.anchor);
  const match = readMatch(c);
  const rtable = c.take('rtable') ? c.number('rtable', 0, 65535) : undefined;
  if (action === 'rdr-anchor' && match.toPorts.length > 1) c.fail('rdr-anchor takes one port', place);
  if (action === 'binat-anchor') {
    if (match.protos.length > 1) c.fail('binat-anchor takes one protocol', place);
    if ([match.from, match.fromPorts, match.to, match.toPorts].some(({ length }) => length > 0))
      c.fail('binat-anchor takes no addresses', place);
  }
  if (action === 'rdr-anchor' && match.fromPorts.length > 0) c.fail('rdr-anchor takes no source port', place);
  return {
    place,
    action,
    quick: false,
    ...match,
    ...NO_LISTS,
    options: { state: {}, labels: [], ...(rtable !== undefined && { rtable }) },
    anchor: { name, inline: false },
  };
}
