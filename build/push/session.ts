import type { Outcome } from '../host/process.js';
import { answerOf } from './answer.js';

/** How a push has ended: what runs on the instance, and not whether a command succeeded. */
export interface Ending {
  /**
   * `new`: what was pushed is in force; `old`: what was before is; `unknown`: the instance does not answer; `unreached`: nobody was
   * logged in, and it got nothing.
   */
  readonly runs: 'new' | 'old' | 'unknown' | 'unreached';
  /** What the instance has said of it last, or why nobody knows. */
  readonly words: string;
}

export interface Session {
  /** Runs a command of the instance, in a login of its own. */
  readonly remote: (command: readonly string[], input?: Buffer) => Promise<Outcome>;
  readonly sleep: (seconds: number, until?: AbortSignal) => Promise<void>;
  /** Hears what the instance says meanwhile. */
  readonly say: (words: string) => void;
  /** Seconds that an instance has from its restart until it is known what runs. */
  readonly wait: number;
}

const UPDATE = '/usr/local/sbin/clawdie-update';

/** pf.conf lets three connections a minute in from one address: 20 seconds between two are the least. */
export const BETWEEN = 25;
/** Logins that are tried before an instance counts as one that does not answer. */
const TRIES = 4;
/** After one that was not made, which no firewall counts. */
export const SOON = 5;

/**
 * Gives an instance an overlay on trial, and confirms it in a new login: `clawdie-update overlay`, then `clawdie-update confirm`
 * until it is decided. Whatever ends this, the instance goes back by itself to what it had, unless it was confirmed.
 *
 * @param slot whole, as `clawdie-iso overlay --slot` writes it
 * @param sum SHA-256 of its archive: what is confirmed
 */
export async function pushSlot(slot: Buffer, sum: string, session: Session): Promise<Ending> {
  const { remote, sleep, say, wait } = session;
  let begun = answerOf(await remote([UPDATE, 'overlay', '-'], slot));
  for (let tries = 1; tries < TRIES && begun.kind === 'silent' && begun.login === 'busy'; tries += 1) {
    say(begun.words);
    await sleep(BETWEEN);
    begun = answerOf(await remote([UPDATE, 'overlay', '-'], slot));
  }
  if (begun.words !== '') say(begun.words);
  if (begun.kind === 'same') return { runs: 'new', words: 'It was in force already.' };
  if (begun.kind === 'failed') return { runs: 'old', words: lastLine(begun.words) };
  // The connection may have been cut after the instance had all of it: then it restarts, and confirming tells.
  if (begun.kind === 'silent' && begun.login !== 'maybe')
    return {
      runs: 'unreached',
      words: `${lastLine(begun.words)}${begun.words.endsWith('.') ? '' : '.'} Look at the address, the key, a firewall between, and the console.`,
    };
  let told = '';
  for (let waited = BETWEEN; waited <= wait;) {
    await sleep(BETWEEN);
    waited += BETWEEN;
    for (;;) {
      const answer = answerOf(await remote([UPDATE, 'confirm', sum]));
      if (answer.kind === 'done' || answer.kind === 'same') return { runs: 'new', words: answer.words };
      if (answer.kind === 'failed') return { runs: 'old', words: answer.words };
      if (answer.words !== told && answer.words !== '') say((told = answer.words));
      if (answer.kind !== 'silent' || answer.counted || waited > wait) break;
      await sleep(SOON);
      waited += SOON;
    }
  }
  return {
    runs: 'unknown',
    words: `It has not said within ${wait} s what runs. Unless it was confirmed it goes back by itself; look at its console.`,
  };
}

/** What an instance has said last: why, and not the indented line below, which says what to do about it. */
export function lastLine(words: string): string {
  const lines = words.split('\n');
  return lines.findLast((line) => !line.startsWith('  ')) ?? lines.at(-1) ?? '';
}
