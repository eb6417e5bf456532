import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { InputError } from '../error.js';
import { OPERATOR_RULES, renderOverlay } from '../overlay/render.js';
import type { OverlayEntry, RenderInput, Template } from '../overlay/render.js';
import { makeView } from '../overlay/view.js';
import type { View } from '../overlay/view.js';
import { bare, parseIp } from '../pf/address.js';
import { Evaluator } from '../pf/evaluate.js';
import type { Packet } from '../pf/evaluate.js';
import { ICMP6_TYPES, ICMP_TYPES, PROTOCOLS, SERVICES } from '../pf/names.js';
import type { Ruleset } from '../pf/types.js';
import { readRules } from '../policy/image.js';
import type { RuleFiles } from '../policy/image.js';
import { decidedBy, describePacket } from '../policy/describe.js';
import { externalName, ip, jailAddress, makeWorld, PARTIES, TAILSCALE } from '../policy/world.js';
import type { Situation } from '../policy/world.js';
import { parseMtree } from '../rootfs/mtree.js';
import { loadConfig, PROJECT, readOperatorRules } from './configuration.js';
import type { ConfigOptions, LoadedConfig } from './configuration.js';
import { readExtraFiles } from './extra.js';
import { readSignKey } from './signing.js';

/** What every overlay is rendered of: the templates, their owners and modes. */
export type OverlaySources = Pick<RenderInput, 'templates' | 'spec'>;

/** Reads overlays/firstboot. */
export async function readOverlaySources(): Promise<OverlaySources> {
  const folder = join(PROJECT, 'overlays', 'firstboot');
  const specPath = join(PROJECT, 'overlays', 'firstboot.mtree');
  const listed = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  // One by one: other files are open meanwhile, and a user may have few (ulimit -n).
  const templates: Template[] = [];
  for (const entry of listed) {
    const path = join(entry.parentPath, entry.name);
    templates.push({ path: path.slice(folder.length + 1), text: await readFile(path, 'utf8') });
  }
  return { templates, spec: parseMtree(await readFile(specPath, 'utf8'), specPath) };
}

/**
 * Reads what an overlay is rendered of.
 *
 * @param packages the list of those on the medium, where there is a lock
 */
export async function renderInput(
  loaded: LoadedConfig,
  authKey: string | undefined,
  packages?: string,
): Promise<RenderInput> {
  const { config, folder } = loaded;
  const operatorRules = await readOperatorRules(config, folder);
  const extra = await readExtraFiles(config, folder);
  const signKey = await readSignKey(config, folder);
  const sources = await readOverlaySources();
  return { config, authKey, operatorRules, extra, signKey, packages, ...sources };
}

/** SHA-256 over this program and the overlays that it renders: with another one, images are made again. */
export async function programDigest(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of [dirname(dirname(fileURLToPath(import.meta.url))), join(PROJECT, 'overlays')]) {
    const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const file of files) {
      const text = await readFile(file);
      hash.update(`${relative(folder, file)} ${text.length}\n`).update(text);
    }
  }
  return hash.digest('hex');
}

/** The rule files of a rendered overlay. */
export function ruleFiles(entries: readonly OverlayEntry[]): RuleFiles {
  const body = (path: string): string => {
    const entry = entries.find((candidate) => candidate.path === path);
    if (!entry) throw new Error(`the overlay has no ${path}`);
    return entry.body;
  };
  return {
    pf: body('etc/pf.conf'),
    fallback: body('etc/pf-fallback.conf'),
    operator: body(OPERATOR_RULES),
    hosts: body('etc/hosts'),
  };
}

export interface RulesOptions extends ConfigOptions {
  readonly tailscale: boolean;
  readonly fallback: boolean;
}

/** A deployment in a situation, with the rules of its image. */
export interface Deployment {
  readonly situation: Situation & { readonly view: View };
  readonly ruleset: Ruleset;
  /** Rows that POLICY_EXCEPTIONS lets the operator's rules break. */
  readonly exceptions: readonly string[];
}

/**
 * Renders the rules of a deployment, and reads them.
 *
 * @throws InputError where they cannot be read
 */
export async function deployment(options: RulesOptions, environment: NodeJS.ProcessEnv): Promise<Deployment> {
  const loaded = await loadConfig(options, environment);
  const files = ruleFiles(renderOverlay(await renderInput(loaded, undefined)));
  const situation = {
    view: makeView(loaded.config),
    tailscaleActive: options.tailscale,
    fallback: options.fallback,
    egressKnown: true,
  };
  const { ruleset, flaws } = readRules(files, {
    fallback: options.fallback,
    tailscaleActive: options.tailscale,
  });
  if (flaws.length > 0)
    throw new InputError(
      `The rules cannot be read:\n${flaws.map(({ place, message }) => `  ${place.file}:${place.line}:${place.column}: ${message}.`).join('\n')}`,
    );
  return { situation, ruleset, exceptions: loaded.config.POLICY_EXCEPTIONS };
}

export interface PacketOptions extends RulesOptions {
  readonly from: string;
  readonly to: string;
}

/**
 * `clawdie-iso packet`: says what happens to the first packet of a connection, and which line decides.
 *
 * @returns whether it passes
 */
export async function askPacket(
  options: PacketOptions,
  environment: NodeJS.ProcessEnv,
  print: (line: string) => void,
): Promise<boolean> {
  const { situation, ruleset } = await deployment(options, environment);
  const evaluator = new Evaluator(ruleset, makeWorld(situation));
  const packets = packetsOf(options.from, options.to, situation);
  let passes = true;
  for (const packet of packets) {
    const verdict = evaluator.decide(packet, 'open');
    print(`${verdict.action === 'pass' ? 'pass ' : 'block'}  ${describePacket(packet)}`);
    print(`       ${decidedBy(verdict)}`);
    if (verdict.action === 'block') passes = false;
    if (!passes) break;
  }
  return passes;
}

/** Where a connection crosses the host's interfaces: in where it comes from, out where it goes to. */
function packetsOf(from: string, to: string, situation: Deployment['situation']): readonly Packet[] {
  const { view } = situation;
  const external = externalName(view);
  const [target, service] = splitTarget(to);
  const six = target.includes(':') || from.includes(':');
  const pick = (four: string, other: string): string => (six ? other : four);
  const jail = jailAddress(view.agentNet, 20);
  const parties: Readonly<Record<string, { readonly address: string; readonly device: string | undefined }>> =
    {
      internet: { address: pick(PARTIES.stranger4, PARTIES.stranger6), device: external },
      host: { address: pick(PARTIES.host4, PARTIES.host6), device: undefined },
      jail: { address: jail, device: 'warden0' },
      'plain-jail': { address: jailAddress(view.agentNet, 200), device: undefined },
      tailnet: { address: pick(PARTIES.tailnetPeer4, PARTIES.tailnetPeer6), device: TAILSCALE },
      gateway: { address: view.gateway, device: undefined },
    };
  const party = (name: string): { readonly address: string; readonly device: string | undefined } => {
    const known = Object.hasOwn(parties, name) ? parties[name] : undefined;
    if (known) return known;
    if (!parseIp(name))
      throw new InputError(
        `"${name}" is neither an address nor one of ${Object.keys(parties).join(', ')}.`,
        'Write it as in: clawdie-iso packet --from internet --to host:22/tcp',
      );
    const bridge = view.bridges.find(({ net }) => name.startsWith(net.replace(/0\/24$/, '')));
    return { address: name, device: bridge?.bridge ?? external };
  };
  const source = party(from);
  const goal = party(
    target === 'host' && from === 'tailnet' ? bare(pick(PARTIES.tailnetHost4, PARTIES.tailnetHost6)) : target,
  );
  const src = parseIp(bare(source.address));
  const dst = parseIp(bare(goal.address));
  if (!src || !dst || src.af !== dst.af)
    throw new InputError(
      `${from} and ${target} are not of one address family.`,
      'Give two addresses of the same family.',
    );
  const packet = {
    af: src.af,
    src: ip(source.address),
    dst: ip(goal.address),
    srcPort: 40000,
    ...serviceOf(service, src.af),
  };
  const local = makeWorld(situation).interfaces.some((device) =>
    device.addresses.some((address) => ip(address) === packet.dst),
  );
  const crossings: Packet[] = [];
  if (source.device !== undefined) crossings.push({ ...packet, interface: source.device, direction: 'in' });
  else if (local) crossings.push({ ...packet, interface: 'lo0', direction: 'in' });
  if (!local && goal.device !== undefined)
    crossings.push({ ...packet, interface: goal.device, direction: 'out', receivedOn: source.device });
  return crossings;
}

/** `host:22/tcp` → host and 22/tcp; IPv6 addresses stand in brackets. */
function splitTarget(text: string): readonly [string, string] {
  const bracketed = /^\[([^\]]+)\](?::(.*))?$/.exec(text);
  if (bracketed) return [bracketed[1] ?? '', bracketed[2] ?? ''];
  const at = text.lastIndexOf(':');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function serviceOf(
  text: string,
  af: 'inet' | 'inet6',
): Pick<Packet, 'proto' | 'dstPort' | 'icmpType' | 'icmpCode'> {
  const nothing = { dstPort: 0, icmpType: 0, icmpCode: 0 };
  const [what = '', proto = 'tcp'] = text.split('/');
  const help = 'Write it as "22/tcp", "ssh/tcp", "echoreq/icmp" or "gre".';
  if (proto === 'icmp' || proto === 'icmp6') {
    const type = (af === 'inet' ? ICMP_TYPES : ICMP6_TYPES).get(what) ?? Number(what);
    if (!Number.isInteger(type) || type < 0 || type > 255)
      throw new InputError(`"${what}" is no ICMP type.`, help);
    return { ...nothing, proto: af === 'inet' ? 1 : 58, icmpType: type };
  }
  if (!text.includes('/') && PROTOCOLS.has(text)) return { ...nothing, proto: PROTOCOLS.get(text) ?? 0 };
  const port = SERVICES.get(what) ?? Number(what === '' ? NaN : what);
  const number = PROTOCOLS.get(proto);
  if (number === undefined || !Number.isInteger(port) || port < 0 || port > 65535)
    throw new InputError(`"${text}" is no service.`, help);
  return { ...nothing, proto: number, dstPort: port };
}
