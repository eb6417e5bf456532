import type { SpecEntry } from '../rootfs/mtree.js';

/*
 * Where files of an operator's own may be on an instance. A list of what is allowed, since what is not thought of has to
 * stay closed: programs, libraries and settings of the base system decide who gets in, as pf.conf and sshd do.
 */

/** Folders, and single files, that are open to files of one's own. */
const PLACES = [
  'etc/cron.d',
  'etc/motd.template',
  'etc/newsyslog.conf.d',
  'etc/rc.conf.d',
  'etc/syslog.d',
  'home',
  'opt',
  'root',
  'srv',
  'usr/local',
  'var/www',
];

/** What is closed in them: it, and all below it. The reason is the end of a sentence. */
const CLOSED: readonly (readonly [place: string, why: string])[] = [
  ['usr/local/bastille/jails', 'JAILS says which jails there are'],
  ['usr/local/bastille/releases', 'jails are made of the release of the image'],
  ['usr/local/bastille/templates/clawdie', 'these templates are the image’s'],
  ['usr/local/etc/bastille', 'Bastille is set up by the image'],
  ['usr/local/etc/clawdie', 'this folder is the image’s'],
  ['usr/local/etc/devd', 'devd(8) acts on network cards before anybody can look'],
  ['usr/local/etc/libmap.d', 'programs of the base system would load other libraries'],
  ['usr/local/etc/pam.d', 'it decides who may log in'],
  ['usr/local/etc/pkg', 'it decides whose packages are trusted'],
  ['usr/local/etc/pkg.conf', 'it decides whose packages are trusted'],
  ['usr/local/etc/rc.conf', 'it would override the settings of the image'],
  ['usr/local/libexec/clawdie', 'this folder is the image’s'],
  ['usr/local/share/clawdie', 'this folder is the image’s'],
];

/** Names that decide who may log in, wherever they are. */
const LOGIN_NAMES = new Set(['.ssh', '.rhosts', '.shosts', '.k5login', '.k5users']);

/** Settings under these names are read by scripts of the base system that are called otherwise. */
const SHARED_SETTINGS = new Set(['network', 'rc', 'rc_trace']);

/** Folders whose scripts rc(8) runs, and those of their settings. */
const RC_SCRIPTS = 'usr/local/etc/rc.d';
const RC_SETTINGS = ['etc/rc.conf.d', 'usr/local/etc/rc.conf.d'];

/** What cron(8) and rc(8) run with root's rights: it is a file, and executable where it is a script. */
const RUN_BY_ROOT = [RC_SCRIPTS, ...RC_SETTINGS, 'etc/cron.d', 'usr/local/etc/cron.d'];

const below = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`);

/**
 * Why an entry may not be in an overlay, as the end of a sentence; undefined if it may.
 *
 * @param scripts names of the rc.d scripts that come with it
 */
export function refusal(
  { path, type, uid, gid, mode }: SpecEntry,
  scripts: ReadonlySet<string>,
): string | undefined {
  if (path.length > 200 || !/^[A-Za-z0-9._@+-]+(?:\/[A-Za-z0-9._@+-]+)*$/.test(path))
    return 'its path may have letters, digits and . _ @ + - alone, 200 in all';
  const names = path.split('/');
  if (names.some((name) => name === '.' || name === '..')) return 'its path has . or .. in it';
  return (
    refusedPlace(path, names, type) ??
    (type === 'dir' ? undefined : refusedRole(path, type, mode, scripts)) ??
    refusedRights(path, { type, uid, gid, mode })
  );
}

function refusedPlace(path: string, names: readonly string[], type: SpecEntry['type']): string | undefined {
  const inside = PLACES.some((place) => below(path, place));
  const leads = type === 'dir' && PLACES.some((place) => below(place, path));
  if (path === 'etc/pf.conf' || below(path, 'etc/pf.conf.d') || path === 'etc/pf-fallback.conf')
    return 'filter rules of your own belong into PF_RULES_FILE, where they are proved';
  if (below(path, 'etc/rc.d')) return `scripts of your own belong into ${RC_SCRIPTS}`;
  if (names.some((name) => LOGIN_NAMES.has(name)) || below(path, 'etc/ssh'))
    return 'who may log in is what SSH_AUTHORIZED_KEYS says';
  if (!inside && !leads) return `files of your own may be in ${PLACES.join(', ')}`;
  const closed = CLOSED.find(([place]) => below(path, place));
  if (closed) return closed[1];
  if (below(path, 'usr/local/bastille') && type !== 'dir' && !below(path, 'usr/local/bastille/templates'))
    return 'of Bastille’s folders only templates/<you>/<name> takes files';
  if (below(path, 'usr/local') && (names.at(-1) ?? '').startsWith('clawdie'))
    return 'names that begin with clawdie are the image’s';
  return undefined;
}

function refusedRole(
  path: string,
  type: SpecEntry['type'],
  mode: number,
  scripts: ReadonlySet<string>,
): string | undefined {
  const folder = path.slice(0, path.lastIndexOf('/'));
  const name = path.slice(folder.length + 1);
  if (!RUN_BY_ROOT.some((place) => below(path, place))) return undefined;
  if (type === 'link') return 'what runs with root’s rights at the boot has to be a file';
  if (path.startsWith(`${RC_SCRIPTS}/`) && folder !== RC_SCRIPTS) return 'rc(8) looks into no folder below';
  if (folder === RC_SCRIPTS && (mode & 0o555) !== 0o555) return 'a script of rc.d needs mode=0555';
  if (RC_SETTINGS.some((place) => below(path, place)) && (!scripts.has(name) || SHARED_SETTINGS.has(name)))
    return `settings of services are taken for scripts of your own alone, and there is no ${RC_SCRIPTS}/${name}`;
  return undefined;
}

function refusedRights(
  path: string,
  { type, uid, gid, mode }: Pick<SpecEntry, 'type' | 'uid' | 'gid' | 'mode'>,
): string | undefined {
  if (type === 'link') return undefined;
  if ((mode & 0o6000) !== 0) return 'it would run with another’s rights (setuid, setgid)';
  if ((mode & 0o002) !== 0 && (mode & 0o1000) === 0) return 'everybody could write to it';
  const system = ['etc', 'usr', 'root', 'var'].some((place) => below(path, place)) && !below(path, 'var/www');
  if (system && (uid !== 0 || (mode & 0o022) !== 0))
    return 'here root alone may own it and write to it (uid=0, no mode that lets others write)';
  // Folders that lead to such a place, or are one, are as FreeBSD has them.
  if (type === 'dir' && PLACES.some((place) => below(place, path)))
    return uid === 0 && gid === 0 && mode === 0o755 ? undefined : 'this folder stays as it is: 0755 of root';
  return undefined;
}
