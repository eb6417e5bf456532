import { setTimeout as sleep } from 'node:timers/promises';
import { HOSTS } from './checks.js';
import type { WaysIn } from './expected.js';
import { floodSyns, SYN_FLOOD } from './flood.js';
import { FLOODS, seenFile } from './jails/floods.js';
import type { Login } from './jails/floods.js';
import { WAYS_STEP } from './jails/ways.js';
import type { Passage } from './jails/ways.js';
import { logIn, openLogin } from './login.js';
import type { Running, Session } from './session.js';
import { stepBegun, STEPS_ENDED } from './steps.js';

/** Who comes from outside while steps are typed inside. */
export interface Operator {
  readonly session: Pick<Session, 'network' | 'stop'>;
  /** Folder of this run, where the key is. */
  readonly work: string;
  readonly ways: WaysIn;
  readonly tell: (line: string) => void;
}

/** Seconds between two logins, so that the firewall does not take the operator for somebody else: three in 60 are let in. */
const PAUSE = 25;

/** Seconds that a flood has to rise before somebody logs in. */
const RISE = 8;

/** More connections in a row than SSH lets anybody else open in a minute. */
const OFTEN = 8;

/** An address that has not been heard of before. */
const FRESH = '198.51.100.44';

/** Connects to what is open, from the internet. */
async function tryWays({ link, peer }: Running['guest'], ways: WaysIn): Promise<readonly Passage[]> {
  const { guest4 } = peer.network;
  const connects = async (what: string, src: string, port: number, index = 0): Promise<Passage> => {
    const connection = await link.connect(src, 41_000 + index, guest4, port, 3000);
    connection?.close();
    return { what, open: connection !== undefined };
  };
  const passages: Passage[] = [];
  for (const port of ways.open)
    passages.push(await connects(`port ${port} of the host`, HOSTS.patient, port));
  for (const { port, jail, to } of ways.forwards)
    passages.push(await connects(`port ${port}, to ${jail}, port ${to}`, HOSTS.patient, port));
  const { allowed } = ways;
  if (allowed !== undefined) {
    const all: Passage[] = [];
    for (let index = 0; index < OFTEN; index++) all.push(await connects('', allowed, 22, index));
    passages.push({
      what: `${OFTEN} connections to SSH in a row from ${allowed}`,
      open: all.every(({ open }) => open),
    });
  }
  return passages;
}

/** Logs in once while all is quiet, and once during each flood; tries the ways in from the internet. */
export async function operate(
  { session, work, ways, tell }: Operator,
  { machine, guest }: Running,
  { logins, passages }: { readonly logins: Login[]; readonly passages: Passage[] },
  done: AbortSignal,
): Promise<void> {
  const { signal } = session.stop;
  const login = await openLogin(machine, session.network, work);
  try {
    let last = -Infinity;
    const enter = async (flood: Login['flood'], command: string): Promise<void> => {
      const wait = last + PAUSE - guest.seconds();
      if (wait > 0) await sleep(wait * 1000, undefined, { signal });
      last = guest.seconds();
      logins.push({ flood, ...(await logIn(login.ssh, command, 60_000, signal)) });
    };
    await enter(undefined, 'true');
    const over = (): boolean => done.aborted || guest.console.shows(STEPS_ENDED);
    const until = async (step: string): Promise<void> => {
      while (!over() && !guest.console.shows(stepBegun(step))) await sleep(500, undefined, { signal });
    };
    if (ways.open.length > 0 || ways.forwards.length > 0 || ways.allowed !== undefined) {
      await until(WAYS_STEP);
      await sleep(3000, undefined, { signal });
      passages.push(...(await tryWays(guest, ways)));
    }
    for (const flood of FLOODS) {
      await until(flood);
      if (!guest.console.shows(stepBegun(flood))) continue;
      const outside =
        flood === 'flood-syn'
          ? floodSyns(machine, session.network.guest4, 22, AbortSignal.any([signal, done]))
          : undefined;
      await sleep(RISE * 1000, undefined, { signal });
      // A flood from outside lasts: somebody logs in at its beginning and at its end.
      if (outside) {
        await enter(flood, 'true');
        // Somebody whom pf does not know yet.
        const began = guest.seconds();
        const connection = await guest.link.connect(FRESH, 41_000, session.network.guest4, 22);
        const failure = connection ? undefined : 'somebody from another address gets no connection';
        logins.push({ flood, seconds: guest.seconds() - began, failure });
        connection?.close();
      }
      await enter(flood, `touch ${seenFile(flood)}`);
      const flooded = await outside;
      if (flooded)
        tell(`  ${flooded.sent} SYNs from ${SYN_FLOOD.sources} addresses in ${flooded.seconds.toFixed(0)} s`);
    }
  } finally {
    login.close();
  }
}
