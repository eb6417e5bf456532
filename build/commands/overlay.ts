import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve as resolvePath } from 'node:path';
import { plain } from '../boot/stages.js';
import { codeOf, InputError, messageOf } from '../error.js';
import { writeError, writeFileAtomic } from '../host/files.js';
import { archiveIn } from '../image/slot.js';
import { compareOverlays } from '../overlay/compare.js';
import type { Difference } from '../overlay/compare.js';
import { isSecret } from '../overlay/render.js';
import type { OverlayEntry } from '../overlay/render.js';
import { unpackOverlay } from '../overlay/unpack.js';
import { loadConfig } from './configuration.js';
import type { ConfigOptions, LoadedConfig } from './configuration.js';
import { readSlot } from './image-slot.js';
import { renderDeployment } from './rendered.js';
import { proveSlot } from './slot.js';

export interface OverlayOptions extends ConfigOptions {
  /** A file of the overlay that is printed, instead of the list. */
  readonly file?: string;
  /** Folder that the files are put into. */
  readonly unpack?: string;
  /** File that the whole slot is written to, as an instance takes it. */
  readonly slot?: string;
  /** An image, a slot or another build.cfg that is compared with it. */
  readonly diff?: string;
  readonly patch: boolean;
  readonly json: boolean;
}

/**
 * `clawdie-iso overlay`: what a build.cfg renders, without an image: the list, one file, all in a folder, the slot, or what
 * differs from another one.
 *
 * @param note hears what is no result: that there is no lock
 * @returns false if there is something to compare, and it differs
 * @throws InputError if the configuration, or what it is compared with, cannot be read; UserError if the firewall of a slot
 *   does not do what the policy says.
 */
export async function overlay(
  options: OverlayOptions,
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
  note: (text: string) => void,
): Promise<boolean> {
  const asked = [options.file, options.unpack, options.slot, options.diff].filter(
    (value) => value !== undefined,
  );
  if (asked.length > 1) throw new InputError('Of --file, --unpack, --slot and --diff one can be given.');
  const loaded = await loadConfig(options, environment);
  const entries = await renderDeployment(loaded, note);
  if (options.file !== undefined) printFile(entries, options.file, print);
  else if (options.unpack !== undefined) await unpack(entries, options.unpack, print);
  else if (options.slot !== undefined) await writeSlot(loaded, entries, options.slot, environment, print);
  else if (options.diff !== undefined) {
    const other = await entriesOf(options.diff, options, environment, note);
    return printDifferences(compareOverlays(other, entries), options, print);
  } else if (options.json) print(JSON.stringify(entries.map(shown), null, 2));
  else for (const entry of entries) print(line(entry));
  return true;
}

/** What an image or a slot holds, or another configuration renders. */
async function entriesOf(
  path: string,
  { set }: OverlayOptions,
  environment: NodeJS.ProcessEnv,
  note: (text: string) => void,
): Promise<readonly OverlayEntry[]> {
  if (path.endsWith('.cfg')) {
    if (set.length > 0) note(`--set goes for ${path}, too.`);
    return renderDeployment(await loadConfig({ config: path, set }, environment), note);
  }
  return (await unpackOverlay(archiveIn(await readSlot(path)))).entries;
}

function shown({ path, type, uid, gid, mode, body, own }: OverlayEntry) {
  return {
    path: `/${path}`,
    ...{ type, uid, gid, mode: mode.toString(8).padStart(4, '0') },
    ...(type === 'link' && { target: body }),
    ...(type === 'file' && { bytes: Buffer.byteLength(body), secret: isSecret({ path, type, mode }) }),
    ...(own && { own }),
  };
}

function line(entry: OverlayEntry): string {
  const { path, type, mode, bytes, target, secret } = {
    bytes: undefined,
    target: undefined,
    secret: false,
    ...shown(entry),
  };
  const size = bytes === undefined ? '' : String(bytes);
  const more = target !== undefined ? ` -> ${target}` : secret ? ' (secret)' : '';
  return plain(
    `${type.padEnd(4)}  ${mode}  ${`${entry.uid}:${entry.gid}`.padEnd(5)}  ${size.padStart(7)}  ${path}${more}`,
  );
}

function printFile(entries: readonly OverlayEntry[], name: string, print: (line: string) => void): void {
  const path = name.replace(/^\/+/, '');
  const entry = entries.find((each) => each.path === path);
  if (entry?.type !== 'file')
    throw new InputError(
      `The overlay has no file /${path}.`,
      'Leave --file out for the list of those it has.',
    );
  if (isSecret(entry))
    throw new InputError(
      `/${path} is a secret, and is not printed.`,
      'Use --unpack, into a folder of yours.',
    );
  print(entry.body.replace(/\n$/, ''));
}

/** Owners stay whoever runs this; modes are those of the overlay, and nobody else looks into the folder. */
async function unpack(
  entries: readonly OverlayEntry[],
  folder: string,
  print: (line: string) => void,
): Promise<void> {
  const target = resolvePath(folder);
  const there = await readdir(target).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw new InputError(`${folder} cannot be used: ${messageOf(error)}.`);
  });
  if (there.length > 0) throw new InputError(`${folder} is not empty.`, 'Name a new folder.');
  try {
    await mkdir(target, { recursive: true });
    await chmod(target, 0o700);
    const folders: OverlayEntry[] = [];
    for (const entry of entries) {
      const path = join(target, entry.path);
      await mkdir(entry.type === 'dir' ? path : dirname(path), { recursive: true });
      if (entry.type === 'dir') folders.push(entry);
      else if (entry.type === 'link') await symlink(entry.body, path);
      else {
        await writeFile(path, entry.body, { mode: 0o600, flag: 'wx' });
        await chmod(path, entry.mode);
      }
    }
    for (const { path, mode } of folders.reverse()) if (path !== '') await chmod(join(target, path), mode);
  } catch (error) {
    throw writeError(target, error);
  }
  print(`${entries.length} entries are in ${folder}.`);
}

async function writeSlot(
  loaded: LoadedConfig,
  entries: readonly OverlayEntry[],
  file: string,
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
): Promise<void> {
  const { bytes, release, signing } = await proveSlot(loaded, entries, environment, print);
  await writeFileAtomic(resolvePath(file), bytes, 0o600);
  const signed = signing ? `signed, serial ${signing.identity.serial}` : 'not signed';
  print(`The slot for ${release} is ${file}, ${signed}; it may hold secrets.`);
}

function printDifferences(
  differences: readonly Difference[],
  { patch: patches, json }: OverlayOptions,
  print: (line: string) => void,
): boolean {
  if (json) print(JSON.stringify(differences, null, 2));
  else if (differences.length === 0) print('The overlays are the same.');
  else
    for (const { path, change, what, patch } of differences) {
      const missing = change === 'only in A' ? 'is removed: ' : change === 'only in B' ? 'is new: ' : '';
      print(plain(`${missing}/${path}  (${what.join(', ')})`));
      if (patches && patch !== undefined)
        for (const each of patch.split('\n').slice(1)) if (each !== '') print(plain(`    ${each}`));
    }
  return differences.length === 0;
}
