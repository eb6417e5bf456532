import type { Outcome } from '../host/process.js';

/**
 * What an answer to `clawdie-update` means:
 *
 * - `done`: it was done (the overlay stays, or the instance restarts with it)
 * - `same`: that overlay is in force already
 * - `later`: it is not decided yet
 * - `silent`: the instance does not answer; `counted` where it may have counted a connection (max-src-conn-rate of pf.conf), `asked`
 *   where it may have been asked
 * - `failed`: it was refused, or taken back; why is in the words
 */
export type Answer =
  | { readonly kind: 'done' | 'same' | 'later'; readonly words: string }
  | { readonly kind: 'silent'; readonly counted: boolean; readonly asked: boolean; readonly words: string }
  | { readonly kind: 'failed'; readonly words: string };

/** What ssh(1) says where no connection was made, so that the firewall has counted none. */
const NOT_CONNECTED =
  /connect to host .*: (?:connection refused|connection timed out|operation timed out|no route to host|host is down|network is unreachable)/i;

/** And where one was made that came to no login: of a machine that is too busy for its sshd(8), or that does not let us in. */
const NO_LOGIN = /during banner exchange|kex_exchange_identification|Permission denied \(/i;

/** Exit codes of clawdie-update (its usage), and of ssh(1) and sh(1) around it. */
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
        words: `${words}\nThe instance has no clawdie-update: its overlay is of an earlier release of this project (docs/operations.md, 8).`,
      };
    case 255:
    case null: {
      const counted = !NOT_CONNECTED.test(stderr);
      return { kind: 'silent', counted, asked: counted && !NO_LOGIN.test(stderr), words };
    }
    default:
      return { kind: 'failed', words };
  }
}
