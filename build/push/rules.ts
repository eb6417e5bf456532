import { answerOf } from './answer.js';
import type { Answer } from './answer.js';
import { BETWEEN, lastLine, SOON } from './session.js';
import type { Ending, Session } from './session.js';

const PF = '/usr/local/sbin/clawdie-pf';

/** Seconds that rules are on trial (`patience` of clawdie-trial). */
const TRIAL = 60;

/**
 * Gives an instance filter rules on trial, without a restart, and confirms them in a new login: `clawdie-pf try`, and beside it
 * `clawdie-pf confirm`. Rules that are not confirmed are taken back by the instance itself.
 *
 * @param rules those that take the place of operator.conf
 * @param sum SHA-256 of the overlay that they were proved with: an instance that runs another one refuses them
 */
export async function pushRules(rules: Buffer, sum: string, session: Session): Promise<Ending> {
  const { remote, sleep, say } = session;
  // It waits there until it is decided.
  const tried = remote([PF, 'try', '--overlay', sum, '-'], rules).then(answerOf);
  const decided = new AbortController();
  const early = await Promise.race([
    tried.finally(() => {
      decided.abort();
    }),
    sleep(BETWEEN, decided.signal).then(
      () => undefined,
      () => tried,
    ),
  ]);
  if (early?.kind === 'silent') {
    if (early.login !== 'maybe') return { runs: 'unreached', words: lastLine(early.words) };
    // The rules themselves may have cut it: a new one tells.
    await sleep(BETWEEN);
  } else if (early) return { runs: early.kind === 'failed' ? 'old' : 'new', words: early.words };
  // Whether a login may have confirmed them whose answer was lost.
  let lost = false;
  // A slow instance has them on trial later: as long as it has not said how that ended there may be something to confirm.
  for (let waited = BETWEEN; waited < TRIAL || !decided.signal.aborted;) {
    const answer = answerOf(await remote([PF, 'confirm']));
    if (answer.kind === 'done') return { runs: 'new', words: answer.words };
    if (answer.kind === 'failed' && decided.signal.aborted) return ended(await tried, lost, answer.words);
    lost ||= answer.kind === 'silent' && answer.login === 'maybe';
    if (answer.words !== '') say(answer.words);
    const pause = answer.kind === 'silent' && !answer.counted ? SOON : BETWEEN;
    await sleep(pause);
    waited += pause;
  }
  return ended(await tried, true);
}

/**
 * @param end what `clawdie-pf try` has said, which waits until it is decided
 * @param lost whether a login may have confirmed them all the same
 * @param refusal what the last one that was answered was refused with
 */
function ended(end: Answer, lost: boolean, refusal?: string): Ending {
  if (end.kind === 'done') return { runs: 'new', words: end.words };
  if (end.kind === 'failed' || !lost) return { runs: 'old', words: refusal ?? end.words };
  return {
    runs: 'unknown',
    words: `No new login was answered that confirms them: unless one did and its answer was lost, the rules before are in force again, ${TRIAL} s after the new ones were.`,
  };
}
