import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { configOf } from '../helpers/config.js';
import { overlayOf } from '../helpers/deployment.js';
import { BASTILLE, folderOf } from '../helpers/real.js';
import { tmp } from '../helpers/tmp.js';

const CONF = 'usr/local/etc/bastille/bastille.conf';
const JAIL = 'w1';

/** Keys that a configuration of Bastille sets, without those in comments. */
function keysOf(text: string): readonly string[] {
  return [...new Set([...text.matchAll(/^\s*(bastille_\w+)=/gm)].map(([, key = '']) => key))];
}

/** What the programs of FreeBSD that Bastille calls do here: enough for what is asked of them, all of it noted. */
const PROGRAMS: Readonly<Record<string, string>> = {
  sed: '[ "$1" != -i ] || { shift 2; exec /usr/bin/sed -i "$@"; }; exec /usr/bin/sed "$@"',
  stat: '[ "$2" != %Op ] || { echo 40750; exit; }; exec /usr/bin/stat "$@"',
  id: 'echo 0',
  jls: `case "$*" in *" path") echo "$ROOT/usr/local/bastille/jails/${JAIL}/root" ;; *name*) echo ${JAIL} ;; esac`,
  jail: `case "$*" in *-e*) printf 'name=${JAIL}\\nip4.addr=clawdie0|192.168.100.20\\n' ;; esac`,
  jexec: 'exit 0',
  script: 'shift 2; exec "$@"',
  sysrc: 'case "$*" in *" -n priority") echo 99 ;; *" -n boot") echo on ;; esac',
  ifconfig: 'echo "clawdie0: flags=8008<LOOPBACK,MULTICAST> metric 0 mtu 16384"',
  sysctl: 'echo 0',
  rctl: 'exit 0',
  pfctl: 'exit 0',
};

/** Bastille as an instance has it, in a folder of this machine. */
class Instance {
  private constructor(readonly root: string) {}

  static async make(): Promise<Instance> {
    const root = await tmp();
    const self = new Instance(root);
    for (const { path, type, body, mode } of overlayOf(configOf()))
      if (path.startsWith('usr/local/')) {
        // What a template copies from the host by its whole path.
        const text = path.endsWith('/Bastillefile') ? body.replace(/^CP \//gm, `CP ${root}/`) : body;
        if (type === 'file') self.write(path, text, mode | 0o200);
        else mkdirSync(join(root, path), { recursive: true });
      }
    self.write('usr/local/libexec/clawdie/devfs-guard', '#!/bin/sh\nexit 0\n', 0o755);
    const tree = folderOf(BASTILLE);
    for (const part of ['bin', 'share/bastille', 'etc/bastille'])
      cpSync(join(tree, 'usr/local', part), join(root, 'usr/local', part), { recursive: true });
    for (const name of readdirSync(join(root, 'usr/local'), { recursive: true, withFileTypes: true })) {
      const path = join(name.parentPath, name.name);
      if (name.isFile() && /\/(?:bin|share|etc)\//.test(path)) {
        const { mode } = statSync(path);
        writeFileSync(path, self.moved(readFileSync(path, 'utf8')));
        chmodSync(path, mode | 0o600);
      }
    }
    chmodSync(join(root, 'usr/local/bin/bastille'), 0o755);
    for (const [name, body] of Object.entries(PROGRAMS))
      self.write(`programs/${name}`, `#!/bin/sh\necho "${name} $*" >> "$ROOT/calls"\n${body}\n`, 0o755);
    self.write(`usr/local/bastille/jails/${JAIL}/jail.conf`, `${JAIL} {\n  path = x;\n}\n`);
    self.write(`usr/local/bastille/jails/${JAIL}/settings.conf`, 'boot="on"\ndepend=""\npriority="99"\n');
    self.write(`usr/local/bastille/jails/${JAIL}/fstab`, '');
    mkdirSync(join(root, `usr/local/bastille/jails/${JAIL}/root/usr/sbin`), { recursive: true });
    self.write(`usr/local/bastille/jails/${JAIL}/root/usr/sbin/sysrc`, '');
    mkdirSync(join(root, 'usr/local/bastille/releases/15.1-RELEASE'), { recursive: true });
    return self;
  }

  /** A text with the places of an instance as they are here. */
  private moved(text: string): string {
    return text
      .replaceAll('/usr/local/', `${this.root}/usr/local/`)
      .replaceAll('/usr/sbin/jls', 'jls')
      .replaceAll('"/usr/local/bastille"', `"${this.root}/usr/local/bastille"`)
      .replaceAll('/etc/clawdie/installed', `${this.root}/etc/clawdie/installed`);
  }

  private write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
    chmodSync(join(this.root, path), mode);
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  /** Runs a line of sh with Bastille, and gives how it ended, what it said, and what it called. */
  run(line: string): { readonly code: number | null; readonly said: string; readonly calls: string } {
    const { status, stdout, stderr } = spawnSync('sh', ['-c', line], {
      encoding: 'utf8',
      timeout: 50_000,
      env: {
        ROOT: this.root,
        PATH: `${this.root}/programs:${this.root}/usr/local/bin:/usr/bin:/bin`,
        BASTILLE_CONFIG: join(this.root, CONF),
        LC_ALL: 'C',
      },
    });
    const calls = this.has('calls') ? this.read('calls') : '';
    return {
      code: status,
      said: `${stdout}${stderr}`.replaceAll(this.root, ''),
      calls: calls.replaceAll(this.root, ''),
    };
  }
}

describe('Bastille itself, with what an instance has', () => {
  beforeEach(({ skip }) => {
    if (BASTILLE.skipped !== undefined) skip(BASTILLE.skipped);
  });

  it('finds every key of its sample in bastille.conf, and none that it does not have', () => {
    const sample = keysOf(readFileSync(join(folderOf(BASTILLE), `${CONF}.sample`), 'utf8'));
    expect(sample.length).toBeGreaterThan(30);
    for (const config of [configOf(), configOf({ INSTALL_FS: 'zfs' })]) {
      const conf = overlayOf(config).find(({ path }) => path === CONF)?.body ?? '';
      const rendered = keysOf(conf);
      expect(sample.filter((key) => !rendered.includes(key))).toEqual([]);
      expect(rendered.filter((key) => !sample.includes(key))).toEqual([]);
    }
  });

  it('takes its configuration for a valid one: create.sh comes as far as to make the jail', async () => {
    const instance = await Instance.make();
    const share = join(instance.root, 'usr/local/share/bastille');
    const network = instance.run(`. ${share}/common.sh && validate_netconf && echo valid`);
    expect(network).toMatchObject({ code: 0, said: 'valid\n' });
    const conf = join(instance.root, CONF);
    writeFileSync(conf, readFileSync(conf, 'utf8').replace('"if_bridge"', '""'));
    const broken = instance.run(`. ${share}/common.sh && validate_netconf && echo valid`);
    expect(broken.code).toBe(1);
    expect(broken.said).toContain("'bastille_network_vnet_type' not set properly");
  });

  it('asks for releases at a host that is one', async () => {
    const instance = await Instance.make();
    const share = join(instance.root, 'usr/local/share/bastille');
    const { said } = instance.run(`. ${share}/common.sh && echo "$bastille_url_freebsd$bastille_zfs_enable"`);
    expect(said).toMatch(/^https?:\/\/[a-z0-9.-]+\/\S*NO\n$/);
  });

  it.each(['worker', 'vnet-worker', 'pi-worker', 'tailscale'])('applies clawdie/%s', async (name) => {
    const instance = await Instance.make();
    const result = instance.run(`bastille template ${JAIL} clawdie/${name}`);
    expect(result.said).not.toContain('[ERROR]');
    expect(result).toMatchObject({
      code: 0,
      said: expect.stringContaining(`Template applied: clawdie/${name}`) as string,
    });
    if (name === 'tailscale') {
      expect(instance.read(`usr/local/bastille/jails/${JAIL}/jail.conf`)).toContain('devfs_ruleset = 14;');
      expect(result.calls).toContain('pkg install tailscale');
      return;
    }
    const script = 'usr/local/libexec/clawdie-worker.sh';
    const copied = `usr/local/bastille/jails/${JAIL}/root/${script}`;
    expect(instance.has(copied)).toBe(true);
    expect(result.calls).toContain(`jexec -l -U root ${JAIL} sh -c sh /${script}`);
    if (name === 'pi-worker') {
      expect(instance.has(`usr/local/bastille/jails/${JAIL}/root/usr/local/libexec/clawdie-pi.sh`)).toBe(
        true,
      );
      expect(result.calls).toMatch(/sh -c sh \/usr\/local\/libexec\/clawdie-pi\.sh \d/);
    }
  });

  describe('while clawdie-jail applies a template', () => {
    const SHIMS = 'PATH=$ROOT/usr/local/libexec/clawdie/template:$PATH';
    const TREE = `usr/local/bastille/jails/${JAIL}/root`;
    /** A jail whose programs are those of this machine: what they are told to write to is named below `inside`. */
    const inside = (instance: Instance): void => {
      writeFileSync(
        join(instance.root, 'programs/jexec'),
        `#!/bin/sh
echo "jexec $*" >> "$ROOT/calls"
case "$*" in
*" ifconfig "*) cat "$ROOT/addresses" ;;
*.cp.XXXXXX*) for last in "$@"; do :; done; for word in "$@"; do name=$before; before=$word; done
  exec sh -c "$5" sh "$name" "$ROOT/inside/$last" ;;
esac
`,
      );
    };

    it('copies files in the jail, and not by paths that it can lead elsewhere', async () => {
      const instance = await Instance.make();
      inside(instance);
      for (const folder of ['usr', 'var/cache'])
        mkdirSync(join(instance.root, 'inside', folder), { recursive: true });
      const result = instance.run(`${SHIMS} bastille template ${JAIL} clawdie/pi-worker`);
      expect(result).toMatchObject({ code: 0 });
      expect(result.said).toContain('Template applied: clawdie/pi-worker');
      for (const script of ['clawdie-worker.sh', 'clawdie-pi.sh']) {
        expect(statSync(join(instance.root, `inside/usr/local/libexec/${script}`)).mode & 0o111).toBe(0o111);
        expect(instance.has(`${TREE}/usr/local/libexec/${script}`)).toBe(false);
      }
      expect(instance.has('inside/var/cache/pi')).toBe(true);
    });

    it('copies a file under the name that it is to have, in a folder that is not there yet', async () => {
      const instance = await Instance.make();
      inside(instance);
      writeFileSync(join(instance.root, 'a b'), 'text', { mode: 0o640 });
      expect(instance.run(`${SHIMS} bastille cp ${JAIL} "$ROOT/a b" "/etc/x/c d"`).code).toBe(0);
      expect(instance.read('inside/etc/x/c d')).toBe('text');
      expect(statSync(join(instance.root, 'inside/etc/x/c d')).mode & 0o777).toBe(0o640);
      expect(readdirSync(join(instance.root, 'inside/etc/x'))).toEqual(['c d']);
      const missing = instance.run(`${SHIMS} bastille cp ${JAIL} "$ROOT/nothing" /etc`);
      expect(missing.code).toBe(1);
      expect(missing.said).toContain('there is no /nothing to copy');
    });

    it.each([
      ['sh(1)', (root: string) => `10.0.0.2';touch\${IFS}${root}/written/g;'`],
      ['sed(1)', (root: string) => `10.0.0.2/w${root}/written`],
    ])('has %s of the host evaluate nothing that ifconfig(8) of a jail says', async (_, evil) => {
      const instance = await Instance.make();
      inside(instance);
      writeFileSync(join(instance.root, 'addresses'), `\tinet ${evil(instance.root)} netmask 0xffffff00\n`);
      writeFileSync(
        join(instance.root, 'programs/jail'),
        `#!/bin/sh\ncase "$*" in *-e*) printf 'name=${JAIL}\\nvnet\\n' ;; esac\n`,
      );
      for (const folder of ['written', 'usr/local/bastille/templates/own/one'])
        mkdirSync(join(instance.root, folder), { recursive: true });
      writeFileSync(
        join(instance.root, 'usr/local/bastille/templates/own/one/Bastillefile'),
        'CMD echo ${JAIL_IP}\n',
      );
      instance.run(`${SHIMS} bastille template ${JAIL} own/one`);
      expect(instance.read('calls')).toContain(`jexec -l ${JAIL} ifconfig -an`);
      expect(instance.has('written/g')).toBe(false);
      // Bastille alone does.
      instance.run(`bastille template ${JAIL} own/one`);
      expect(instance.has('written/g')).toBe(true);
    });

    it('knows the address of a jail all the same', async () => {
      const instance = await Instance.make();
      inside(instance);
      writeFileSync(join(instance.root, 'addresses'), '\tinet 192.168.100.11 netmask 0xffffff00\n');
      const said = instance.run(`${SHIMS} jexec -l ${JAIL} ifconfig -an`).said;
      expect(said).toBe('\tinet 192.168.100.11 netmask 0xffffff00\n');
    });
  });

  it('says what is wrong with a template that copies to nowhere', async () => {
    const instance = await Instance.make();
    const file = join(instance.root, 'usr/local/bastille/templates/clawdie/worker/Bastillefile');
    const text = readFileSync(file, 'utf8');
    expect(text).toContain('CP usr /\n');
    writeFileSync(file, text.replace('CP usr /\n', 'CP usr\n'));
    const result = instance.run(`bastille template ${JAIL} clawdie/worker`);
    expect(result.code).toBe(1);
    expect(result.said).toContain('Failed to execute command: cp');
  });

  it('copies into a jail what is named, where it is named', async () => {
    const instance = await Instance.make();
    const from = join(instance.root, 'usr/local/bastille/templates/clawdie/worker/usr');
    expect(instance.run(`bastille cp ${JAIL} ${from} /`).code).toBe(0);
    expect(instance.has(`usr/local/bastille/jails/${JAIL}/root/usr/local/libexec/clawdie-worker.sh`)).toBe(
      true,
    );
    expect(instance.run(`bastille cp ${JAIL} ${from}`).code).toBe(1);
  });
});
