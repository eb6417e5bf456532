import Handlebars from 'handlebars';
import type { Config } from '../config/keys.js';
import { UserError } from '../error.js';
import { allowedSigners } from './signers.js';
import { shellQuote } from '../quote.js';
import type { SpecEntry } from '../rootfs/mtree.js';
import { compareBytes } from '../rootfs/tree.js';
import { extraEntries } from './extra.js';
import type { ExtraFiles } from './extra.js';
import { ownerOf } from './owners.js';
import { makeView } from './view.js';

/** A file of overlays/firstboot: its path there, and its text. */
export interface Template {
  readonly path: string;
  readonly text: string;
}

/** An entry of a rendered overlay. */
export interface OverlayEntry {
  readonly path: string;
  readonly type: 'dir' | 'file' | 'link';
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  /** Contents of a file, target of a link. */
  readonly body: string;
  /** Whether it is of EXTRA_FILES: not of the image's making. */
  readonly own?: true;
}

export interface RenderInput {
  readonly config: Config;
  /** The auth key for Tailscale, where the deployment brings one. */
  readonly authKey?: string | undefined;
  /** The operator's own filter rules, where the deployment brings some. */
  readonly operatorRules?: string | undefined;
  /** Files of the operator's own, where the deployment brings some. */
  readonly extra?: ExtraFiles | undefined;
  /** The public key of SIGN_KEY, where the deployment has one. */
  readonly signKey?: string | undefined;
  /** The packages of the medium (packages/medium.ts), where there is a lock. */
  readonly packages?: string | undefined;
  readonly templates: readonly Template[];
  /** Owners and modes: overlays/firstboot.mtree. */
  readonly spec: ReadonlyMap<string, SpecEntry>;
}

const engine = Handlebars.create();
engine.registerHelper('sh', (value: unknown) => {
  if (typeof value !== 'string') throw new Error('sh quotes text');
  return value === '' ? "''" : shellQuote(value);
});
engine.registerHelper('yesNo', (value: unknown) => (value === true ? '"YES"' : '"NO"'));

/** Where the operator's own filter rules are on the instance. */
export const OPERATOR_RULES = 'etc/pf.conf.d/operator.conf';

/** Whose overlays an instance takes after this one (clawdie-trust). */
export const SIGNERS_FILE = 'etc/clawdie/allowed_signers';
/** The packages of the medium, with their sums, on the instance. */
const PACKAGES_LIST = 'var/db/clawdie/packages.list';
/** Where clawdie-notify finds the URL of NOTIFY_WEBHOOK. */
const WEBHOOK_FILE = 'var/db/clawdie/webhook';

/** Files that stand in no template: made of the configuration, for those deployments that have them. */
function generated(input: RenderInput): ReadonlyMap<string, string> {
  const { config, authKey } = input;
  const files = new Map<string, string>([
    ['firstboot', ''],
    [OPERATOR_RULES, input.operatorRules ?? '# Filter rules of your own; /etc/pf.conf includes them.\n'],
    ['etc/localtime', `/usr/share/zoneinfo/${config.TIMEZONE}`],
    ['var/db/zoneinfo', `${config.TIMEZONE}\n`],
  ]);
  if (config.SSH_AUTHORIZED_KEYS.length > 0)
    files.set('root/.ssh/authorized_keys', `${config.SSH_AUTHORIZED_KEYS.join('\n')}\n`);
  if (config.ROOT_PASSWORD_HASH !== undefined)
    files.set('var/db/clawdie/root.hash', `${config.ROOT_PASSWORD_HASH}\n`);
  const signers =
    config.SIGNERS.length > 0 ? config.SIGNERS : input.signKey === undefined ? [] : [input.signKey];
  if (signers.length > 0) files.set(SIGNERS_FILE, allowedSigners(signers));
  if (input.packages !== undefined) files.set(PACKAGES_LIST, input.packages);
  if (config.NOTIFY_WEBHOOK !== undefined) files.set(WEBHOOK_FILE, `${config.NOTIFY_WEBHOOK}\n`);
  if (authKey !== undefined) files.set('var/db/clawdie/tailscale.key', `${authKey}\n`);
  return files;
}

/** Secrets of a configuration. Nobody is to see them, nor their sums: a sum of a short secret can be searched for. */
const SECRET_FILES: ReadonlySet<string> = new Set([
  'var/db/clawdie/root.hash',
  'var/db/clawdie/tailscale.key',
  WEBHOOK_FILE,
]);

/** Files of the image that others than root cannot read, and that hold no secret. */
const NO_SECRETS: ReadonlySet<string> = new Set([
  'etc/cron.d/clawdie',
  'etc/pf-fallback.conf',
  'etc/pf.conf',
  OPERATOR_RULES,
  'firstboot',
  'root/.ssh/authorized_keys',
  PACKAGES_LIST,
]);

/** Whether nobody is to see what an entry holds: a secret of the configuration, or a file of one's own that not all may read. */
export function isSecret({ path, type, mode }: Pick<OverlayEntry, 'path' | 'type' | 'mode'>): boolean {
  if (type !== 'file' || NO_SECRETS.has(path)) return false;
  return SECRET_FILES.has(path) || (mode & 0o004) === 0;
}

const OPTIONAL = new Set(['root/.ssh/authorized_keys', SIGNERS_FILE, PACKAGES_LIST, ...SECRET_FILES]);

/** Templates whose text would be empty are not installed: an empty resolv.conf would stand in the way of DHCP. */
const DROPPED_WHEN_EMPTY = new Set(['etc/ntp.conf', 'etc/resolv.conf', 'etc/resolvconf.conf']);

/**
 * Renders the overlay of a deployment: every template with its values in place, every entry with its owner and mode,
 * sorted by path. Pure: the same input gives the same entries.
 *
 * @throws UserError if a template asks for what is not there, the specification and the files differ, or a file of the
 *   operator's own cannot be in an image.
 */
export function renderOverlay(input: RenderInput): readonly OverlayEntry[] {
  const view = makeView(input.config);
  const bodies = new Map<string, string>(generated(input));
  const absent = new Set([...OPTIONAL].filter((path) => !bodies.has(path)));
  for (const { path, text } of input.templates) {
    const isTemplate = path.endsWith('.hbs');
    const target = isTemplate ? path.slice(0, -'.hbs'.length) : path;
    if (bodies.has(target))
      throw new UserError(`overlays/firstboot/${path} is made of the configuration and cannot be a file.`);
    const body = isTemplate ? renderTemplate(path, text, view) : text;
    if (body === '' && DROPPED_WHEN_EMPTY.has(target)) absent.add(target);
    else bodies.set(target, body);
  }

  const entries: OverlayEntry[] = [];
  for (const entry of input.spec.values()) {
    const body = bodies.get(entry.path);
    bodies.delete(entry.path);
    if (entry.type === 'dir') entries.push({ ...entry, body: '' });
    else if (body !== undefined) entries.push({ ...entry, body });
    else if (!absent.has(entry.path))
      throw new UserError(`overlays/firstboot.mtree lists ./${entry.path}, which is not there.`);
  }
  const [unlisted] = bodies.keys();
  if (unlisted !== undefined)
    throw new UserError(
      `overlays/firstboot holds ${unlisted}, which overlays/firstboot.mtree does not list.`,
      'List it there with its owner and mode.',
    );
  if (input.extra) entries.push(...extraEntries(input.extra, input.spec));
  const foreign = entries.find(({ path }) => ownerOf(path) !== 'overlay');
  if (foreign)
    throw new UserError(
      `The overlay would bring /${foreign.path}, which is the ${ownerOf(foreign.path)}’s and which no overlay replaces.`,
      'docs/state.md says whose a file is.',
    );
  return entries.sort((a, b) => compareBytes(a.path, b.path));
}

/** Templates by their text: a fleet renders the same ones for every deployment. */
const compiled = new Map<string, HandlebarsTemplateDelegate>();

function renderTemplate(path: string, text: string, view: object): string {
  try {
    const template = compiled.get(text) ?? engine.compile(text, { strict: true, noEscape: true });
    compiled.set(text, template);
    return template(view);
  } catch (error) {
    throw new UserError(`Rendering overlays/firstboot/${path}: ${(error as Error).message}.`);
  }
}

/** Whether an overlay holds what must not be read by everybody: the image is then its owner's alone. */
export function holdsSecret(entries: readonly OverlayEntry[]): boolean {
  return entries.some(isSecret);
}
