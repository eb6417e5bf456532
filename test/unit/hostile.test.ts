import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { ruleFiles } from '../../build/commands/rules.js';
import { KEY_NAMES } from '../../build/config/keys.js';
import type { KeyName } from '../../build/config/keys.js';
import { report } from '../../build/config/report.js';
import { resolve } from '../../build/config/resolve.js';
import { UserError } from '../../build/error.js';
import { sha256 } from '../../build/host/hash.js';
import { readRules } from '../../build/policy/image.js';
import { visible } from '../../build/quote.js';
import { writeSample } from '../../build/release/sample/sample.js';
import { plan } from '../../build/rootfs/layout.js';
import { makeRootfs, readFileSet } from '../../build/rootfs/rootfs.js';
import type { FileSet, Rootfs } from '../../build/rootfs/rootfs.js';
import type { Source } from '../../build/rootfs/release-tree.js';
import { PUBLIC_KEY } from '../helpers/config.js';
import { overlayOf } from '../helpers/deployment.js';
import { blocks, rawHeader, rawPax, xz } from '../helpers/tar.js';
import { cpuTime, never, tmp } from '../helpers/tmp.js';

/** How many of each, what one may take in milliseconds of processors and in bytes of memory, and where the generators begin. */
const RUNS = 300;
const LIMIT = 5000;
const MOST_MEMORY = 300 * 1024 ** 2;
const SEED = 20260101;

describe('hostile release sets', () => {
  let folder: string;
  let base: Buffer;
  let overlay: FileSet;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'clawdie-test-'));
    await writeSample(join(folder, 'sets'), never);
    base = execFileSync('xz', ['-dc', join(folder, 'sets', 'base.txz')]).subarray(0, -1024);
    overlay = await readFileSet('overlays/base', 'overlays/base.mtree');
    return () => {
      rmSync(folder, { recursive: true });
    };
  });

  const name = fc.oneof(
    fc.constantFrom(
      ...[
        '',
        '.',
        './',
        '/',
        '..',
        '../x',
        'a/../../x',
        '/etc/x',
        'etc',
        'etc/rc.d',
        'etc/passwd',
        'bin/sh',
        './bin/sh',
      ],
      ...[
        'boot/kernel/kernel',
        'boot/lua/x+..+..+y',
        'boot/lua',
        'boot/loader.conf',
        'etc/clawdie',
        'etc/pf.conf',
        'sbin',
      ],
      ...[
        'usr/tests/x',
        'usr/lib/debug/x',
        '__proto__',
        'constructor',
        'a\nb',
        'a\u001b[2J',
        'a\u202eb',
        'ü',
        'a'.repeat(99),
      ],
      ...[
        'sys',
        'rescue/sh',
        'root/.ssh',
        'var/empty/x',
        'etc/os-release/x',
        'mfsroot.gz',
        'overlay',
        ' ',
        '-rf',
        '$(id)',
      ],
    ),
    fc.string({ maxLength: 40, unit: 'binary' }),
    fc
      .array(fc.constantFrom('a', 'b', '..', '.', '', 'etc'), { maxLength: 8 })
      .map((parts) => parts.join('/')),
  );
  const bytes = fc.oneof(
    name.map((text) => Buffer.from(text).subarray(0, 100)),
    fc.uint8Array({ maxLength: 100 }).map((array) => Buffer.from(array)),
  );
  const number = fc.oneof(
    fc.constantFrom('0', '7', '1', '777', '77777777777', '', ' ', '-1', '9', '12x', '4000000'),
    fc.nat(2000).map((value) => value.toString(8)),
  );
  const flag = fc.constantFrom(...'000011225555734 6xgLKSVDNA'.replace(' ', '').split(''), '\0', '\u00ff');
  const entry = fc
    .record({
      name: bytes,
      flag,
      link: bytes,
      size: number,
      uid: number.map((text) => text.slice(0, 8)),
      body: fc.nat(1500),
    })
    .map(({ body, ...header }) =>
      Buffer.concat([
        rawHeader(header),
        blocks(Buffer.alloc(/^[0-7]{1,4}$/.test(header.size) ? parseInt(header.size, 8) : body, '1 ')),
      ]),
    );
  const value = fc.oneof(
    bytes,
    fc
      .constantFrom('0', '1', '-1', '5', '1099511627776', '9007199254740993', '4294967295')
      .map((text) => Buffer.from(text)),
  );
  const attributes = fc.dictionary(
    fc.constantFrom(
      ...[
        'path',
        'linkpath',
        'size',
        'uid',
        'gid',
        'mtime',
        'GNU.sparse.major',
        'GNU.sparse.minor',
        'GNU.sparse.name',
      ],
      ...['GNU.sparse.realsize', 'SCHILY.xattr.x'],
    ),
    value,
    { maxKeys: 5 },
  );
  const sparse = fc
    .record({ size: fc.nat(100_000), map: fc.string({ maxLength: 30 }) })
    .map(({ size, map }) =>
      Buffer.concat([
        rawPax({
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'usr/s',
          'GNU.sparse.realsize': String(size),
        }),
        rawHeader({ name: 'GNUSparseFile.0/s', size: '2000' }),
        blocks(Buffer.concat([Buffer.from(map.replace(/ /g, '\n')), Buffer.alloc(1024)]).subarray(0, 1024)),
      ]),
    );
  const good = fc
    .nat()
    .map((index) => Buffer.concat([rawHeader({ name: `usr/share/x${index}`, size: '5' }), blocks('12345')]));
  const piece = fc.oneof(
    { weight: 12, arbitrary: good },
    { weight: 6, arbitrary: entry },
    { weight: 2, arbitrary: attributes.map((each) => rawPax(each)) },
    { weight: 1, arbitrary: sparse },
    {
      weight: 1,
      arbitrary: fc.constantFrom(Buffer.alloc(512), Buffer.alloc(1024), Buffer.from('x'), Buffer.alloc(0)),
    },
  );
  const set = fc.record({
    pieces: fc.array(piece, { minLength: 1, maxLength: 4 }),
    end: fc.constantFrom(1024, 1024, 1024, 512, 0, 10_240),
    flips: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
    packed: fc.oneof(
      { weight: 7, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.tuple(fc.nat(), fc.nat(255)) },
    ),
  });

  async function make(packed: Buffer, outer: string): Promise<Rootfs> {
    const work = join(outer, 'work');
    mkdirSync(work);
    writeFileSync(join(outer, 'base.txz'), packed);
    const opened: number[] = [];
    const open = (path: string, part: Source['part']): Source => {
      const fd = openSync(path, 'r');
      opened.push(fd);
      const contents = readFileSync(path);
      const archive = { fd, sha256: sha256(contents), size: contents.length };
      return { where: basename(path), part, use: (run) => run(archive) };
    };
    try {
      return await makeRootfs({
        sources: [open(join(outer, 'base.txz'), 'world'), open(join(folder, 'sets', 'kernel.txz'), 'kernel')],
        ...{
          profile: 'standard',
          overlay,
          version: '15.1-RELEASE',
          release: '15.1-RELEASE-amd64',
          work,
          signal: never,
          onEntry: () => undefined,
        },
      });
    } finally {
      opened.forEach(closeSync);
    }
  }

  it(
    'make a root file system or a sentence: no crash, nothing outside, in time',
    { timeout: 1_800_000 },
    async () => {
      const seen = { taken: 0, refused: 0 };
      let run = 0;
      await fc.assert(
        fc.asyncProperty(set, async ({ pieces, end, flips, packed }) => {
          const tar = Buffer.concat([base, ...pieces, Buffer.alloc(end)]);
          // Behind what is good, so that not every flip is a wrong sum of the first header.
          for (const [at, bit] of flips) if (run % 3 === 0) tar.writeUInt8(bit, at % tar.length);
          const archive = xz(tar);
          if (packed) archive.writeUInt8(packed[1], packed[0] % archive.length);
          const outer = join(folder, `run${run++}`);
          mkdirSync(outer);
          const started = cpuTime();
          const memory = process.memoryUsage.rss();
          try {
            const { tree } = await make(archive, outer);
            plan(tree, { bytes: 0, inodes: 0 });
            seen.taken++;
          } catch (error) {
            if (!(error instanceof UserError)) throw error;
            expect(error.message.length).toBeLessThan(5000);
            seen.refused++;
          }
          expect(cpuTime() - started).toBeLessThan(LIMIT);
          expect(process.memoryUsage.rss() - memory).toBeLessThan(MOST_MEMORY);
          expect(readdirSync(outer).sort()).toEqual(['base.txz', 'work']);
          const work = join(outer, 'work');
          expect(readdirSync(work).filter((each) => !['root', 'parts'].includes(each))).toEqual([]);
          const size = readdirSync(work, { recursive: true }).reduce(
            (sum, each) => sum + statSync(join(work, String(each))).size,
            0,
          );
          expect(size).toBeLessThan(32 * 1024 ** 2);
          rmSync(outer, { recursive: true });
        }),
        { numRuns: RUNS, seed: SEED, endOnFailure: true },
      );
      expect(readdirSync(folder)).toEqual(['sets']);
      // Neither all nor none: the generator reaches both.
      expect(seen.taken).toBeGreaterThan(10);
      expect(seen.refused).toBeGreaterThan(100);
    },
  );
});

describe('odd values of build.cfg', () => {
  const odd = fc.oneof(
    fc.string({ maxLength: 60, unit: 'binary' }),
    fc.string({ maxLength: 60 }),
    fc.constantFrom(
      ...[
        '',
        ' ',
        '-',
        '.',
        '..',
        '/',
        '*',
        '~',
        '"',
        "'",
        '$(id)',
        '`id`',
        '\\',
        ';',
        '&',
        '|',
        '\n',
        '\t',
        '#',
        '0',
        '-1',
        '1e9',
      ],
      ...[
        'NaN',
        'null',
        '__proto__',
        'constructor',
        'yes',
        'no',
        'auto',
        'any',
        'all',
        'lo0',
        'vtnet0',
        'em1',
        'host',
        'jail',
      ],
      ...[
        '0.0.0.0/0',
        '10.0.0.0/8',
        '192.168.5.0/24',
        '255.255.255.255',
        '::',
        '::/0',
        'fe80::1',
        '2001:db8::1',
        '9.9.9.9',
      ],
      ...[
        '203.0.113.10/24 203.0.113.1',
        '2001:db8::10/64 fe80::1',
        '99999999999999999999',
        'x'.repeat(100_000),
        'ü',
        'İ',
        'ﬀ',
      ],
      ...[
        'a,b,c',
        'a=b=c',
        'natasha',
        'natasha=192.168.101.0/24',
        '53/udp',
        '0/tcp',
        '65536/tcp',
        'https://x',
        'Europe/Ljubljana',
      ],
    ),
    fc
      .array(fc.constantFrom('a', '9.9.9.9', '53/udp', 'bash', 'igor', ',', ' ', '\n', '='), {
        maxLength: 12,
      })
      .map((parts) => parts.join(' ')),
  );
  const words = (pattern: RegExp): fc.Arbitrary<string> =>
    fc.array(fc.stringMatching(pattern), { maxLength: 3 }).map((all) => all.join(' '));
  /** Near to what is taken, and often it. */
  const likely = fc.record(
    {
      HOSTNAME: fc.stringMatching(/^[a-zA-Z0-9-]{1,12}$/),
      ASSISTANT_NAME: fc.stringMatching(/^[a-z]{1,8}$/),
      EXT_IF: fc.stringMatching(/^[a-z]{2,5}[0-9]$/),
      PACKAGES: words(/^[A-Za-z0-9._+-]{1,12}$/),
      DNS: fc.array(fc.oneof(fc.ipV4(), fc.ipV6()), { maxLength: 3 }).map((all) => all.join(',')),
      TENANTS: words(/^[a-z]{1,8}$/),
      JAIL_HOST_PORTS: words(/^[1-9][0-9]{0,4}\/(tcp|udp)$/),
      SSH_ALLOW: fc
        .array(fc.tuple(fc.oneof(fc.ipV4(), fc.ipV6()), fc.integer({ min: 0, max: 129 })), { maxLength: 3 })
        .map((all) => all.map((parts) => parts.join('/')).join(' ')),
      OPEN_PORTS: words(/^[1-9][0-9]{0,4}\/(tcp|udp)$/),
      FORWARD_PORTS: words(/^[1-9][0-9]{0,4}\/(tcp|udp)=worker:[1-9][0-9]{0,3}$/),
      BRUTEFORCE_EXPIRE: fc.nat().map(String),
      SSH_AUTHORIZED_KEYS: fc.string({ maxLength: 30 }).map((comment) => `${PUBLIC_KEY} ${comment}`),
      HTTP: fc.constantFrom('yes', 'no'),
      JAIL_NETWORK: fc.constantFrom('plain', 'vnet'),
      INSTALL: fc.constantFrom('never', 'ask', 'auto'),
      TAILSCALE: fc.constantFrom('off', 'host', 'subnet', 'jail'),
    },
    { requiredKeys: [] },
  );
  const layers = fc.record({
    values: fc.oneof(fc.dictionary(fc.constantFrom(...KEY_NAMES), odd, { minKeys: 1, maxKeys: 2 }), likely),
    text: fc.oneof(
      { weight: 6, arbitrary: fc.constant('') },
      { weight: 1, arbitrary: fc.string({ maxLength: 200, unit: 'binary' }) },
    ),
  });
  const OPTIONS = [
    { fallback: false, tailscaleActive: false },
    { fallback: true, tailscaleActive: false },
  ];

  it('are refused in a sentence, or make files that sh and pf read', { timeout: 1_800_000 }, async () => {
    const folder = await tmp();
    const seen = { taken: 0, refused: 0 };
    const scripts: string[] = [];
    fc.assert(
      fc.property(layers, ({ values, text }) => {
        const started = cpuTime();
        const memory = process.memoryUsage.rss();
        const file = { name: 'build.cfg', text };
        const commandLine = { SSH_AUTHORIZED_KEYS: PUBLIC_KEY, ...values } as Record<KeyName, string>;
        const { resolved, findings } = resolve({ file, environment: {}, commandLine });
        if (!resolved) {
          seen.refused++;
          const said = visible(report(findings, { 'build.cfg': text }));
          expect(said).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]|undefined|\[object/);
          expect(said.length).toBeLessThan(40_000);
        } else {
          seen.taken++;
          const entries = overlayOf(resolved.config);
          for (const options of OPTIONS) expect(readRules(ruleFiles(entries), options).flaws).toEqual([]);
          for (const { path, type, body } of entries) {
            if (
              type !== 'file' ||
              !(/^#!\/bin\/sh/.test(body) || /^etc\/(rc\.conf|clawdie\/clawdie\.conf)/.test(path))
            )
              continue;
            const script = join(folder, `${sha256(body).slice(0, 16)}-${basename(path)}`);
            writeFileSync(script, body);
            scripts.push(script);
          }
        }
        expect(cpuTime() - started).toBeLessThan(LIMIT);
        expect(process.memoryUsage.rss() - memory).toBeLessThan(MOST_MEMORY);
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: true },
    );
    expect(seen.taken).toBeGreaterThan(10);
    expect(seen.refused).toBeGreaterThan(50);
    const check = 'for file; do sh -n "$file" || echo "$file"; done 2>&1';
    expect(execFileSync('sh', ['-c', check, 'sh', ...new Set(scripts)], { encoding: 'utf8' })).toBe('');
  });
});
