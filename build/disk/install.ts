import { spawn } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { ConsoleReader, plain } from '../boot/stages.js';
import { UserError } from '../error.js';
import { readAt } from '../host/files.js';
import { chooseAccelerator, machineCommand, qemuPath } from '../host/qemu.js';
import type { Accelerator } from '../host/qemu.js';
import { BOOTME, readGpt, SLOT_TYPE } from '../image/gpt.js';
import type { Partition } from '../image/gpt.js';
import { SECTOR, slotRelease } from '../image/slot.js';
import { findSlot } from '../image/slot-place.js';
import type { Extent } from '../image/iso9660.js';
import { toldPackages } from './packages.js';
import type { Installed } from './packages.js';

const GB = 1024 ** 3;

/**
 * Size of a disk image in bytes, whole gigabytes: room for the root as clawdie-install asks for it, twice what is in it,
 * and for the partitions beside it. The root grows with the disk at the first boot, so this is the least that an
 * instance needs.
 *
 * @param rootBytes size of the root file system of the live image
 * @param packageBytes size of the packages that lie on it, and of what they install
 */
export function diskSize(rootBytes: number, packageBytes = 0): number {
  return Math.ceil((2 * rootBytes + packageBytes + GB) / GB) * GB;
}

export interface Installation {
  /** ISO whose slot tells it to put itself onto the disk, as a disk image or as the instance that it is. */
  readonly image: string;
  readonly as: 'image' | 'instance';
  /** Where the disk is made; nothing may stand there. */
  readonly disk: string;
  /** Size of the disk in bytes. */
  readonly size: number;
  /** Memory of the machine in megabytes: the root is in it. */
  readonly memory: number;
  readonly accel: 'auto' | Accelerator;
  readonly signal: AbortSignal;
  /** Hears what is being done, and how far it is in percent. */
  readonly onProgress: (what: string, percent: number) => void;
  readonly warn: (text: string) => void;
}

/** What came of an installation. */
export interface InstalledDisk {
  /** Where the slot is on the disk. */
  readonly slot: Extent;
  /** What pkg(8) has there, where packages were to be installed. */
  readonly packages: readonly Installed[];
}

/** Seconds without a word from the machine after which it is given up. */
const PATIENCE = { kvm: 60, tcg: 300 } as const;

/**
 * Makes a disk as clawdie-install does on the instance: starts the image in QEMU beside a blank disk, with no network
 * card at all, and waits until it has put itself onto it. Where hardware virtualisation is there and does not
 * work, it is done without.
 *
 * @throws UserError with what the console said last, if no such disk came of it.
 */
export async function installInQemu(installation: Installation): Promise<InstalledDisk> {
  const { disk, size, signal } = installation;
  let said = '';
  const attempt = async (accel: Accelerator): Promise<Flaw | undefined> => {
    await rm(disk, { force: true });
    const file = await open(disk, 'wx', 0o600);
    await file.truncate(size).finally(() => file.close());
    signal.throwIfAborted();
    return watch(accel, installation, (text) => (said = text));
  };
  const chosen = installation.accel === 'auto' ? await chooseAccelerator() : { accel: installation.accel };
  const { accel } = chosen;
  if ('why' in chosen)
    installation.warn(`Hardware virtualisation does not work (${chosen.why}); doing without.`);
  let flaw = await attempt(accel);
  if (flaw && !flaw.booted && accel === 'kvm' && installation.accel === 'auto') {
    installation.warn(
      `With hardware virtualisation the machine does not start (${flaw.what}); trying without.`,
    );
    flaw = await attempt('tcg');
  }
  if (flaw) {
    const lines = flaw.console.map((line) => `\n    ${line}`).join('');
    throw new UserError(
      `Installing onto a disk in QEMU: ${flaw.what}${lines === '' ? '' : `; the console said last:${lines}`}`,
      flaw.booted
        ? 'Boot the ISO to see it happen: clawdie-iso boot.'
        : 'See whether this QEMU is 7.2 or newer.',
    );
  }
  return { slot: await checkDisk(disk, installation.as), packages: toldPackages(said) };
}

/** What is said once all is on the disk: by clawdie-install, and by rc.d/clawdie_install. */
const COMPLETE = { image: /the disk image is complete/, instance: /^Installed\. Restarting\./m } as const;

/** What rc.d/clawdie_install says where it goes on without a disk. */
const GIVEN_UP = /(?:instance runs from memory\.|there is no disk to install to\.)\r?$/m;

/** Why an installer gave up, in the last words of clawdie-install; undefined while it has not. */
function givenUp(text: string): string | undefined {
  if (!GIVEN_UP.test(text)) return undefined;
  const said = [...plain(text).matchAll(/^clawdie-install: (.+)$/gm)].at(-1)?.[1];
  return `the installer gave up${said === undefined ? '' : `: ${said}`}`;
}

/** Why an installer did not come to its end. */
interface Flaw {
  readonly what: string;
  /** Whether the kernel had started: it then is not for want of a machine. */
  readonly booted: boolean;
  readonly console: readonly string[];
}

/**
 * Runs the machine to its end.
 *
 * @param onEnd hears what was on the console, if the installer came to its end
 * @returns what went wrong; nothing if it did
 */
async function watch(
  accel: Accelerator,
  { image, as, disk, memory, signal, onProgress }: Installation,
  onEnd: (console: string) => void,
): Promise<Flaw | undefined> {
  const [command = '', ...args] = [
    ...machineCommand(accel, `${memory}M`),
    ...['-nic', 'none', '-boot', 'd'],
    ...['-drive', `media=cdrom,readonly=on,format=raw,file=${qemuPath(image)}`],
    // Whatever happens to this machine, a disk that is half made is not kept. A full file system is the guest's to report:
    // by default the machine would stop and wait for somebody.
    ...['-drive', `if=virtio,format=raw,cache=unsafe,werror=report,file=${qemuPath(disk)}`],
  ];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const console = new ConsoleReader();
  const began = performance.now();
  let heard = began;
  let said = '';
  let flaw: string | undefined;
  const kill = (): void => void child.kill('SIGKILL');
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    heard = performance.now();
    console.add(text, (heard - began) / 1000);
    const gauge = [...console.text.slice(-4096).matchAll(/XXX\s+(\d{1,3})\s+([^\r\n]+?)\s+XXX/g)].at(-1);
    if (gauge) onProgress(gauge[2] ?? '', Math.min(100, Number(gauge[1])));
    flaw ??= givenUp(console.text.slice(-4096));
    if (flaw !== undefined || console.ended !== undefined || console.sample) kill();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4096)));
  const patience = setInterval(() => {
    if (performance.now() - heard < PATIENCE[accel] * 1000) return;
    flaw ??= `the machine said nothing for ${PATIENCE[accel]} s`;
    kill();
  }, 1000);
  process.once('exit', kill);
  signal.addEventListener('abort', kill, { once: true });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    signal.throwIfAborted();
    if (console.ended === undefined && code === 0 && COMPLETE[as].test(console.text)) {
      onEnd(console.text);
      return undefined;
    }
    if (console.sample) flaw = 'this is the sample image, which holds no FreeBSD';
    const ending = code === 0 ? 'the machine ended early' : `QEMU ended by itself: ${said.trim()}`;
    return { what: flaw ?? console.ended ?? ending, booted: console.has('kernel'), console: console.tail() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new UserError(`${command} is not on this machine.`, 'Run `clawdie-iso doctor`.');
  } finally {
    clearInterval(patience);
    process.removeListener('exit', kill);
    signal.removeEventListener('abort', kill);
  }
}

/**
 * What has to be on a disk that clawdie-install has come to an end with: labels of its partitions. The second copies of what the
 * firmware starts are on every image, and on instances with a pool.
 */
const LABELS =
  /^clawdie-boot (clawdie-boot-b )?clawdie-efi (clawdie-efi-b )?clawdie-slot clawdie-swap clawdie-root$/;

/** @returns where its slot is @throws UserError if a disk is not what clawdie-install leaves at its end. */
async function checkDisk(disk: string, as: Installation['as']): Promise<Extent> {
  const file = await open(disk, 'r');
  try {
    const refuse = (what: string): UserError =>
      new UserError(`The disk that the installer made has ${what}.`, 'Build the base image again.');
    const read = (offset: number, length: number): Promise<Buffer> => readAt(file, offset, length);
    const partitions = await readGpt(read, (await file.stat()).size, disk);
    const labels = partitions.map(({ label }) => label);
    const found = LABELS.exec(labels.join(' '));
    if (!found || (as === 'image' && (found[1] === undefined || found[2] === undefined)))
      throw refuse(`the partitions ${labels.join(', ') || '(none)'}`);
    const by = (label: string): Partition | undefined => partitions.find((each) => each.label === label);
    if (((by('clawdie-root')?.attributes ?? 0n) & BOOTME) === 0n) throw refuse('no partition that boots');
    if (by('clawdie-slot')?.type !== SLOT_TYPE) throw refuse('no partition for the overlay');
    const slot = await findSlot(file, disk);
    const empty = slotRelease(await readAt(file, slot.offset, SECTOR)) !== undefined;
    if (empty !== (as === 'image')) throw refuse(empty ? 'no overlay' : 'no empty overlay slot');
    return slot;
  } finally {
    await file.close();
  }
}
