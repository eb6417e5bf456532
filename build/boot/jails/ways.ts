import type { Step } from '../steps.js';
import type { Surroundings } from './cast.js';
import { escaped, listens } from './typed.js';

/** A connection from outside that was tried while {@link WAYS_STEP} was typed. */
export interface Passage {
  readonly what: string;
  readonly open: boolean;
}

export const WAYS_STEP = 'ways-in';

/** Listens, inside, at what the ways in lead to, for as long as somebody outside tries them. */
export function waysSteps({ deployed, ways, outer }: Surroundings): readonly Step[] {
  const { open, forwards, allowed } = ways;
  if (open.length === 0 && forwards.length === 0 && allowed === undefined) return [];
  const inside = forwards.flatMap(({ jail, to }) => {
    const address = deployed.jails.find(({ name }) => name === jail)?.address;
    return address === undefined ? [] : [listens(address, to, jail)];
  });
  return [
    {
      name: WAYS_STEP,
      check: WAYS_STEP,
      typed: [
        ...open.map((port) => listens(outer, port)),
        ...inside,
        'sleep 45',
        "echo \"banned: $(pfctl -q -t bruteforce -T show | tr -s ' \\n' ' ')\"",
      ].join('\n'),
      ...(allowed !== undefined && { hides: [new RegExp(`banned: .*${escaped(allowed)}`)] }),
      tells: /^banned/,
    },
  ];
}

/** What is wrong with what was tried from outside. */
export function wayFlaws(passages: readonly Passage[]): readonly string[] {
  if (passages.length === 0) return ['nobody outside tried them'];
  return passages.flatMap(({ what, open }) => (open ? [] : [`no connection: ${what}`]));
}
