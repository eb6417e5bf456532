import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planCells } from '../../../build/boot/cell-plan.js';
import { sendProgram } from '../../../build/boot/cell-program.js';
import { cellFiles, cellSteps, parties } from '../../../build/boot/cell-steps.js';
import { checksum, parseFrame } from '../../../build/boot/frames.js';
import { NETWORK } from '../../../build/boot/peer.js';
import { ruleFiles } from '../../../build/commands/rules.js';
import { formatIp } from '../../../build/pf/address.js';
import { printRule } from '../../../build/pf/print.js';
import { readRules } from '../../../build/policy/image.js';
import { cellsConfig as config, cellsSituation as situation } from '../../helpers/cells.js';
import { overlayOf } from '../../helpers/deployment.js';
import { tmp } from '../../helpers/tmp.js';

const plan = planCells(readRules(ruleFiles(overlayOf(config)), situation).ruleset, situation, NETWORK);
const steps = cellSteps(plan, NETWORK.guest4);

describe('the rules with a log each', () => {
  it.each([
    ['of the image', ''],
    [
      'of an operator',
      'pass_ports = "{ 81, 82 }"\n  pass in  log on egress proto tcp to (egress) port $pass_ports\nblock return-icmp (3, 1) in log (all) quick on egress proto udp\nblock return out on egress proto 99 \\\n  from any to any\n# pass this by\nblock\n',
    ],
  ])('are those in force but for the log: %s', async (_, operator) => {
    const folder = await tmp();
    const files = ruleFiles(overlayOf(config, { operatorRules: operator }));
    writeFileSync(join(folder, 'etc.pf.conf'), files.pf);
    writeFileSync(join(folder, 'etc.operator.conf'), files.operator);
    const script = (steps[0]?.typed ?? '')
      .split('\n')
      .filter((line) => line.startsWith('sed -E'))
      .join('\n')
      .replaceAll(' /etc/pf.conf.d/operator.conf', ' etc.operator.conf')
      .replaceAll(' /etc/pf.conf ', ' etc.pf.conf ');
    const result = spawnSync('sh', ['-e', '-c', script], { cwd: folder, encoding: 'utf8' });
    expect([result.status, result.stderr]).toEqual([0, '']);
    const logged = readFileSync(join(folder, 'pf.conf'), 'utf8');
    const own = /include "([^"]*)"/.exec(logged)?.[1];
    expect(own).toBe('/var/run/inspect.cells/operator.conf');
    const pf = logged.replace(own ?? '', '/etc/pf.conf.d/operator.conf');
    const changed = { ...files, pf, operator: readFileSync(join(folder, 'operator.conf'), 'utf8') };
    const print = (from: typeof files): readonly string[] =>
      readRules(from, situation).ruleset.rules.flatMap((rule) =>
        /^(?:pass|block)$/.test(rule.action) ? [printRule(rule)] : [],
      );
    const [with_, without] = [print(changed), print(files)];
    expect(with_.filter((rule) => !rule.includes(' log (all, to pflog1)'))).toEqual([]);
    expect(with_.map((rule) => rule.replace(' log (all, to pflog1)', ''))).toEqual(
      without.map((rule) => rule.replace(/ log(?: \([^)]*\))?/, '')),
    );
    expect(readRules(changed, situation).flaws).toEqual(readRules(files, situation).flaws);
  });
});

describe('the frames of the packets', () => {
  it('say what the packets are, and carry their numbers', () => {
    for (const { sample, frame } of plan.packets) {
      const { packet, number } = sample;
      const six = packet.af === 'inet6';
      expect(six ? frame.readUInt32BE(14) & 0xfffff : frame.readUInt16BE(18)).toBe(number);
      if (!six) expect(checksum(frame.subarray(14, 34))).toBe(0);
      // Of fragments nobody can say more.
      expect((frame.readUInt16BE(20) & 0x1fff) !== 0 && !six).toBe(packet.fragment === true);
      if (packet.fragment === true) continue;
      const parsed = parseFrame(frame);
      expect(parsed).toMatchObject({
        ...{ kind: 'ip', proto: packet.proto, src: formatIp(packet.af, BigInt(packet.src)) },
        ...{ dst: formatIp(packet.af, BigInt(packet.dst)) },
        ...(packet.proto === 6 && { srcPort: packet.srcPort, dstPort: packet.dstPort, flags: packet.flags }),
      });
    }
  });

  it('lie on the instance as printf(1) writes them, without whom they are sent to', () => {
    const [file] = cellFiles(plan).filter(({ path }) => path.endsWith('/bridge0'));
    const [first = ''] = file?.body.split('\n') ?? [];
    const bytes = Buffer.from([...first.matchAll(/\\(\d{3})/g)].map(([, byte = '']) => parseInt(byte, 8)));
    const sent = plan.packets.find(({ from, bridge }) => from === 'bridge' && bridge === 'warden0');
    expect(bytes.equals(sent?.frame.subarray(6) ?? Buffer.alloc(0))).toBe(true);
  });

  it('lie there for jails as IPv4 packets that the program takes', () => {
    const own = parties(plan).filter(({ from }) => from !== 'bridge');
    expect(own.map(({ name }) => name)).toEqual(['vnet0', 'plain0', 'vnet1', 'plain1', 'host']);
    for (const { packets } of own) {
      expect(packets.length).toBeGreaterThan(0);
      for (const { frame } of packets) {
        expect(frame.readUInt8(14)).toBe(0x45);
        expect(frame.readUInt16BE(16)).toBe(frame.length - 14);
        expect(frame.length - 14).toBeLessThanOrEqual(128);
      }
    }
  });

  it('are of plain jails with the one address that a plain jail has, and go to where its stack brings them', () => {
    const sources = new Map(
      ['192.168.100.200', '192.168.101.200'].map((address, index) => [`plain${index}`, address]),
    );
    for (const { name, from, packets } of parties(plan)) {
      if (from !== 'plain') continue;
      const has = new Set(packets.map(({ sample: { packet } }) => formatIp(packet.af, BigInt(packet.src))));
      expect([...has]).toEqual([sources.get(name)]);
      const ways = new Set(
        packets.map(
          ({ sample: { packet } }) =>
            `${packet.interface} ${formatIp(packet.af, BigInt(packet.dst)).replace(/^198\.51\.100\..*/, 'internet')}`,
        ),
      );
      expect([...ways]).toEqual(
        expect.arrayContaining([
          `clawdie0 ${[...has].join()}`,
          'lo0 192.168.100.1',
          'lo0 203.0.113.15',
          'vtnet0 internet',
        ]),
      );
    }
  });
});

describe('jails and the host', () => {
  it('are given their packets one behind the other, and tell what was refused by another than the firewall', async () => {
    const folder = await tmp();
    const [files, work, bin] = ['files', 'work', 'bin'].map((name) => join(folder, name));
    if (files === undefined || work === undefined || bin === undefined) throw new Error('three folders');
    for (const each of [files, work, bin]) mkdirSync(each);
    for (const { path, body } of cellFiles(plan)) writeFileSync(join(files, basename(path)), body);
    const stub = (name: string, script: string): void => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    };
    for (const name of ['jail', 'route', 'ping']) stub(name, ':');
    stub('ifconfig', '[ "$2" != create ] || echo epair0a');
    // In the place of the program, since that is for another kernel: the first is blocked, there is no way for the second.
    stub(
      'send',
      `cat > ${folder}/got.$1; printf '\\015\\101'; head -c "$(($(wc -l < ${files}/$1) - 2))" /dev/zero`,
    );
    stub('jexec', 'case "$2" in */send) exec "$2" "$1" ;; esac');
    const step = steps.find(({ name }) => name === 'cells-jails');
    const script = (step?.typed ?? '')
      .replaceAll('/etc/clawdie/inspect.cells', files)
      .replaceAll('/var/run/inspect.cells', work)
      .replace('chmod 500 send', `mv send made && cp ${bin}/send send`)
      .replace(`raw host ${work}/send`, `raw host ${work}/send host`);
    const result = spawnSync('sh', ['-c', script], {
      env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` },
      encoding: 'utf8',
    });
    expect([result.status, result.stderr]).toEqual([0, '']);
    expect(readFileSync(join(work, 'made')).equals(sendProgram())).toBe(true);
    const own = parties(plan).filter(({ from }) => from !== 'bridge');
    const said = own.flatMap(({ name, packets }) => [
      `sent ${packets.length} from ${name}`,
      `refused ${name} 2 65`,
    ]);
    expect(result.stdout.trim().split('\n').sort()).toEqual([...said, 'all of the jails were sent'].sort());
    for (const { name, packets } of own)
      expect(
        readFileSync(join(folder, `got.${name}`)).equals(
          Buffer.concat(packets.map(({ frame }) => frame.subarray(14))),
        ),
      ).toBe(true);
  });
});

describe('the program that sends packets as they are written', () => {
  it('is what send.s says, and an ELF file of FreeBSD for amd64', async ({ skip }) => {
    const program = sendProgram();
    expect(program.toString('latin1', 0, 4)).toBe('\x7fELF');
    expect(program.readUInt8(7)).toBe(9);
    expect(program.readUInt16LE(18)).toBe(62);
    const entry = program.readBigUInt64LE(24) - program.readBigUInt64LE(64 + 16);
    const folder = await tmp();
    const object = join(folder, 'send.o');
    const made = spawnSync('as', ['--64', '-o', object, 'overlays/inspect/send.s'], { encoding: 'utf8' });
    if (made.error) skip('there is no as(1)');
    expect(made.stderr).toBe('');
    const copied = spawnSync('objcopy', ['-O', 'binary', '-j', '.text', object, join(folder, 'send')]);
    expect(copied.status).toBe(0);
    expect(program.subarray(Number(entry)).toString('hex')).toBe(
      readFileSync(join(folder, 'send')).toString('hex'),
    );
  });
});
