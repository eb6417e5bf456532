import { SAMPLE_MESSAGE } from '../release/sample/stub.js';

/** What clawdie_lockdown says once it holds the door, and by which rules. */
const LOCKDOWN = /^Firewall up before the network, rules from (.*)\.\r?$/m;

/** The stages of a boot, in their order, with what the console says when each is reached. */
const STAGES = [
  {
    name: 'loader',
    says: /^(?:Consoles:|BTX loader|Loading kernel|Loading \/boot\/|Failed to load conf dir)/m,
  },
  { name: 'kernel', says: /^---<<BOOT>>---/m },
  { name: 'init', says: /^clawdie-init: overlay [0-9a-f]{64} (?:applied|stands)\./m },
  { name: 'lockdown', says: LOCKDOWN },
  { name: 'netif', says: /^Starting Network:/m },
  { name: 'egress', says: /^Facing the internet: .*\.\r?$/m },
  { name: 'pf', says: /^Enabling pf/m },
  // The last module of rc.d/clawdie_firstboot.
  { name: 'firstboot', says: /^First boot: jail done\./m },
  { name: 'services', says: /^Starting sshd\./m },
  { name: 'login', says: /^login: ?/m },
] as const;

export type StageName = (typeof STAGES)[number]['name'];
export const STAGE_NAMES: readonly StageName[] = STAGES.map(({ name }) => name);

/** What the console says when a boot goes no further, and what that means. */
const ENDINGS: readonly { readonly says: RegExp; readonly means: string }[] = [
  { says: /this instance stays closed/, means: 'clawdie-init refused the overlay' },
  { says: /The boot stops here/, means: 'clawdie_lockdown stopped the boot' },
  { says: /^panic: (.*)$/m, means: 'the kernel panicked' },
  { says: /^mountroot>/m, means: 'the kernel found no root file system' },
  { says: /can't (?:find|load) 'kernel'/, means: 'the loader found no kernel' },
  {
    says: /Enter full pathname of shell|Enter root password, or \^D/,
    means: 'the boot ended in single-user mode',
  },
];

export interface Reached {
  readonly name: StageName;
  /** seconds from the start of the machine */
  readonly seconds: number;
}

/** Reads a serial console as it grows. Pure but for what it was told. */
export class ConsoleReader {
  text = '';
  readonly reached: Reached[] = [];
  /** Why the boot goes no further, if it does not. */
  ended: string | undefined;
  /** Whether this is the sample image, which holds no FreeBSD. */
  sample = false;

  /** @param seconds from the start of the machine */
  add(more: string, seconds: number): void {
    // All that is looked for is within one line: what was before the last one has been looked at.
    const fresh = this.text.slice(this.text.lastIndexOf('\n') + 1) + more;
    this.text += more;
    for (const { name, says } of STAGES)
      if (!this.has(name) && says.test(fresh)) this.reached.push({ name, seconds });
    this.ended ??= ENDINGS.find(({ says }) => says.test(fresh))?.means;
    this.sample ||= SAMPLE_MESSAGE.every((line) => this.text.includes(line));
  }

  has(name: StageName): boolean {
    return this.reached.some((stage) => stage.name === name);
  }

  /** Whether nothing more is to be expected. */
  get finished(): boolean {
    return this.has('login') || this.ended !== undefined || this.sample;
  }

  /** Whether the console has shown this, control sequences aside. */
  shows(what: RegExp): boolean {
    return what.test(plain(this.text));
  }

  /** The file of rules that clawdie_lockdown loaded; undefined if it did not say so. */
  get rules(): string | undefined {
    return LOCKDOWN.exec(this.text)?.[1];
  }

  /** The last stage that was reached; none if the console said nothing that is known. */
  get last(): StageName | undefined {
    return STAGE_NAMES.filter((name) => this.has(name)).at(-1);
  }

  /** The last lines of the console, without control sequences. */
  tail(lines = 12): readonly string[] {
    return plain(this.text)
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-lines);
  }
}

/** Console text as it can be printed: without escape sequences and carriage returns. */
export function plain(text: string): string {
  return text
    .replace(/\u001b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78c])/g, '')
    .replace(/\r/g, '')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '');
}
