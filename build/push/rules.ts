import { answerOf } from './answer.js';
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
  for (let waited = BETWEEN; waited < TRIAL;) {
    const answer = answerOf(await remote([PF, 'confirm']));
    if (answer.kind === 'done') return { runs: 'new', words: answer.words };
    if (answer.kind === 'failed') return { runs: 'old', words: answer.words };
    if (answer.words !== '') say(answer.words);
    const pause = answer.kind === 'silent' && !answer.counted ? SOON : BETWEEN;
    await sleep(pause);
    waited += pause;
  }
  const end = await tried;
  if (end.kind === 'failed') return { runs: 'old', words: end.words };
  return {
    runs: 'unknown',
    words: `No new login came about: unless one did and its answer was lost, the rules before are in force again, ${TRIAL} s after the new ones were.`,
  };
}
