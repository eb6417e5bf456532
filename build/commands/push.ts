import { basename, dirname, join, resolve as resolvePath } from 'node:path';
import { plain } from '../boot/stages.js';
import { isDestination } from '../config/readers.js';
import { InputError, messageOf, UserError } from '../error.js';
import { ssh } from '../host/ssh.js';
import { makeView } from '../overlay/view.js';
import { proveImage } from '../policy/image.js';
import type { ImageProof } from '../policy/image.js';
import { pushRules } from '../push/rules.js';
import { pushSlot } from '../push/session.js';
import type { Ending, Session } from '../push/session.js';
import { loadConfig } from './configuration.js';
import type { LoadedConfig } from './configuration.js';
import { COMMON, deploymentFiles, readCommon } from './deployments.js';
import { warnOfExceptions } from './output.js';
import { renderDeployment } from './rendered.js';
import { ruleFiles } from './rules.js';
import { overlaySum, proveSlot } from './slot.js';

export interface PushOptions {
  /** The configuration of one deployment and where it is, or a folder of them with PUSH_TO in each. */
  readonly one?: { readonly config: string; readonly address: string };
  readonly all?: string;
  /** A file of filter rules, to be given in the place of an overlay. */
  readonly rules?: string;
  readonly set: readonly string[];
  /** How many at a time. */
  readonly parallel: number;
  /** Whether the others are begun as well after one that fails. */
  readonly keepGoing?: boolean;
  /** Seconds that an instance has to say what runs. */
  readonly wait: number;
}

export interface PushContext {
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
  readonly sleep: Session['sleep'];
}

/** What is given to the instance of a deployment, made and proved. */
interface Parcel {
  readonly name: string;
  readonly sum: string;
  readonly give: (session: Session) => Promise<Ending>;
}

type Ready = Parcel & { readonly address: string };

/**
 * `clawdie-iso push`: renders, proves and signs, gives instances their overlay on trial, and confirms it in a new login. Of a
 * folder a few at a time; after the first that fails none is begun any more, unless it keeps going.
 *
 * @returns false unless all run what was pushed
 * @throws InputError, or UserError of a proof, before the first instance is asked anything.
 */
export async function push(options: PushOptions, context: PushContext): Promise<boolean> {
  const ready = await makeReady(options, context);
  const endings = new Map<string, Ending>();
  const left = [...ready];
  const batch = options.all !== undefined;
  const what = options.rules === undefined ? 'overlay' : 'rules';
  const tell = ({ name, address, sum }: Ready, runs: string, words?: string): void => {
    const said = words === undefined ? '' : `: ${plain(words.replaceAll('\n', ' '))}`;
    context.print(`${name}  ${address}  ${sum.slice(0, 12)}  ${runs}${said}`);
  };
  let failed = false;
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next && !failed; next = left.shift()) {
      const { name, address, give } = next;
      const ending = await give({
        remote: (command, input) =>
          ssh(address, command, { batch, signal: context.signal, ...(input && { input }) }),
        sleep: context.sleep,
        say: (words) => {
          for (const line of words.split('\n')) context.print(`${name}: ${plain(line)}`);
        },
        wait: options.wait,
      });
      endings.set(name, ending);
      // A fleet takes its time: who watches, or interrupts it, knows of each what came of it.
      if (batch) context.print(`${name}: ${RUNS[ending.runs](what)}.`);
      if (ending.runs !== 'new' && options.keepGoing !== true) failed = true;
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.parallel, ready.length) }, work)).catch(
    (error: unknown) => {
      if (!context.signal.aborted) throw error;
      for (const one of ready) {
        const ending = endings.get(one.name);
        if (ending) tell(one, RUNS[ending.runs](what), ending.words);
        else if (left.includes(one)) tell(one, 'not begun');
      }
      const within = ready.filter((one) => !left.includes(one) && !endings.has(one.name));
      throw interruptedWith(within, context.signal.reason);
    },
  );
  for (const one of ready) {
    const ending = endings.get(one.name);
    tell(one, ending ? RUNS[ending.runs](what) : NOT_BEGUN, ending?.words);
  }
  return ready.every(({ name }) => endings.get(name)?.runs === 'new');
}

const NOT_BEGUN = 'not begun after the first that failed (--keep-going does)';

const RUNS: Readonly<Record<Ending['runs'], (what: 'overlay' | 'rules') => string>> = {
  new: (what) => (what === 'overlay' ? 'runs it' : 'has these rules in force'),
  old: (what) => (what === 'overlay' ? 'runs the overlay before' : 'has the rules of before'),
  unreached: () => 'was not reached and got nothing',
  unknown: (what) => (what === 'overlay' ? 'is not known to run it' : 'is not known to have them'),
};

/** What somebody has to know who interrupts a push. */
function interruptedWith(within: readonly Ready[], cause: unknown): UserError {
  const names = within.map(({ name, address }) => `${name} (${address})`).join(', ');
  return new UserError(
    `${messageOf(cause)} What was pushed may be on trial on ${names}.`,
    'Unless it was confirmed it goes back by itself. `clawdie-update status` there says what runs; the same push again does, too.',
    { cause },
  );
}

/** All overlays, before the first one is sent. */
async function makeReady(options: PushOptions, context: PushContext): Promise<readonly Ready[]> {
  const { one, all, set } = options;
  const folder = all ?? (one ? dirname(one.config) : '.');
  const files =
    all === undefined ? [one?.config ?? ''] : (await deploymentFiles(all)).map((file) => join(all, file));
  if (one && !isDestination(one.address))
    throw new InputError(
      `"${one.address}" is no destination of ssh(1).`,
      'Write it as root@198.51.100.7, with a port as ssh://root@198.51.100.7:2222.',
    );
  const common = await readCommon(join(resolvePath(folder), COMMON));
  const loaded = await Promise.all(
    files.map((config) => loadConfig({ config, set, ...(common && { common }) }, context.environment)),
  );
  const lacking = loaded
    .filter(({ config }) => !one && config.PUSH_TO === undefined)
    .map(({ path }) => basename(path));
  if (lacking.length > 0)
    throw new InputError(
      `There is no PUSH_TO in ${lacking.join(', ')}: nothing says where these instances are.`,
      'Set it in each file: PUSH_TO="root@198.51.100.7".',
    );
  const ready: Ready[] = [];
  const rules = options.rules === undefined ? undefined : resolvePath(options.rules);
  for (const each of loaded)
    ready.push({
      ...(await (rules === undefined ? makeSlot(each, context) : makeRules(each, rules, context))),
      address: one?.address ?? each.config.PUSH_TO ?? '',
    });
  return ready;
}

/** What it has to say of a deployment meanwhile. */
const noteOf =
  (name: string, { print }: PushContext) =>
  (text: string): void => {
    print(`${name}: ${text}`);
  };

/** Notes what of the policy the rules of a deployment may break. */
function warn(proof: ImageProof, note: (text: string) => void): void {
  warnOfExceptions(proof, (event) => {
    if (event.type === 'warning') note(event.text);
  });
}

/** Rules in the place of those of PF_RULES_FILE, proved with what the deployment renders. */
async function makeRules(loaded: LoadedConfig, rules: string, context: PushContext): Promise<Parcel> {
  const name = basename(loaded.path, '.cfg');
  const note = noteOf(name, context);
  const sum = await overlaySum(loaded, await renderDeployment(loaded, note), context.environment);
  const config = { ...loaded.config, PF_RULES_FILE: rules };
  const files = ruleFiles(await renderDeployment({ ...loaded, config }, () => undefined));
  warn(proveImage(files, makeView(config), config.POLICY_EXCEPTIONS), note);
  return { name, sum, give: (session) => pushRules(Buffer.from(files.operator), sum, session) };
}

/** The slot of a deployment, proved. */
async function makeSlot(loaded: LoadedConfig, context: PushContext): Promise<Parcel> {
  const name = basename(loaded.path, '.cfg');
  const note = noteOf(name, context);
  const entries = await renderDeployment(loaded, note);
  const { bytes, sum, signing, proof } = await proveSlot(loaded, entries, context.environment, note);
  warn(proof, note);
  if (!signing) note('not signed (SIGN_KEY): an instance that has signers refuses it.');
  return { name, sum, give: (session) => pushSlot(bytes, sum, session) };
}
