import type { Outcome } from '../host/process.js';

/**
 * What an answer to `clawdie-update`, or `clawdie-pf`, means:
 *
 * - `done`: it was done (the overlay stays, or the instance restarts with it; the rules stay)
 * - `same`: that overlay is in force already
 * - `later`: it is not decided yet
 * - `silent`: the instance does not answer; `counted` where it may have counted a connection (max-src-conn-rate of pf.conf); `login`
 *   says whether there may have been one, so that the command may have run, or none since it is `busy`, or `none`
 * - `failed`: it was refused, or taken back; why is in the words
 */
export type Answer =
  | { readonly kind: 'done' | 'same' | 'later'; readonly words: string }
  | {
      readonly kind: 'silent';
      readonly counted: boolean;
      readonly login: 'maybe' | 'busy' | 'none';
      readonly words: string;
    }
  | { readonly kind: 'failed'; readonly words: string };

/** What ssh(1) says where no connection was made, so that the firewall has counted none. */
const NOT_CONNECTED =
  /could not resolve hostname|connect to host .*: (?:connection refused|connection timed out|operation timed out|no route to host|host is down|network is unreachable)/i;

/** What it says where one was made to a machine that is too busy for its sshd(8). */
const BUSY = /during banner exchange|kex_exchange_identification/i;

/** And where nobody was let in. */
const NOT_LET_IN = /host key verification failed|permission denied \(|too many authentication failures/i;

/** Exit codes of clawdie-update and clawdie-pf (their usage), and of ssh(1) and sh(1) around them. */
export function answerOf({ code, stdout, stderr }: Outcome): Answer {
  const words = [stdout, stderr]
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .join('\n');
  switch (code) {
    case 0:
      return { kind: 'done', words };
    case 3:
      return { kind: 'same', words };
    case 75:
      return { kind: 'later', words };
    case 126:
    case 127:
      return {
        kind: 'failed',
        words: `${words}\nThe instance does not have this program: its overlay is of an earlier release of this project (docs/operations.md, 8).`,
      };
    case 255:
    case null:
      return {
        kind: 'silent',
        counted: !NOT_CONNECTED.test(stderr),
        login: BUSY.test(stderr)
          ? 'busy'
          : NOT_CONNECTED.test(stderr) || NOT_LET_IN.test(stderr)
            ? 'none'
            : 'maybe',
        words,
      };
    default:
      return { kind: 'failed', words };
  }
}
