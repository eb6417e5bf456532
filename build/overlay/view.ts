import ipaddr from 'ipaddr.js';
import { jailRelease, planJails } from '../config/jails.js';
import { formatAmount } from '../config/limits.js';
import type { JailLimits } from '../config/limits.js';
import type { Config, KeyName } from '../config/keys.js';
import type { TenantEntry } from '../config/readers.js';
import { formatNetwork4 } from '../config/net.js';
import { assignTenants } from '../config/tenants.js';
import type { Tenant } from '../config/tenants.js';
import { shellQuote } from '../quote.js';
import { wanView } from './wan.js';
import type { WanView } from './wan.js';

/** What the templates of overlays/firstboot see: values that are ready to be put in place. */
export interface View extends WanView {
  readonly assistant: string;
  readonly hostname: string;
  readonly timezone: string;
  readonly install: string;
  readonly installDisk: string;
  readonly installFs: string;
  readonly installLayout: string;
  readonly installWipe: string;
  readonly nameservers: readonly string[];
  /** Lines of ntp.conf(5): `pool` for names, which may have many addresses; none where nobody sets the clock. */
  readonly timeServers: readonly { readonly kind: 'server' | 'pool'; readonly host: string }[];
  readonly time: boolean;
  /** Whether jails may ask the host for the time. */
  readonly timeForJails: boolean;
  readonly syslogHost: string;
  readonly syslogPort: string;
  readonly tenants: readonly (Tenant & { readonly ifconfig: string })[];
  /** Bridges that pf.conf has rules for: those of the tenants, and of some that are yet to come. */
  readonly bridges: readonly Tenant[];
  readonly tenantList: string;
  readonly bridgeList: string;
  readonly cloned: string;
  readonly loopback: string;
  readonly jailTable: string;
  /** Seconds after which an address leaves <bruteforce>. */
  readonly bruteforceExpire: number;
  readonly agentNet: string;
  readonly gateway: string;
  /** Gateways of all bridges, as pf.conf lists them. */
  readonly gateways: string;
  readonly supernet: string;
  readonly jailNetwork: string;
  /** A line for each jail of the plan: name, tenant, network, address, template, memory, processes, cpu, disk. */
  readonly jails: readonly string[];
  /** Limits of jails that do not say: memory, processes, cpu, disk. */
  readonly jailLimits: string;
  /** What the jails of a tenant may take together, likewise; `-` where nothing bounds it. */
  readonly tenantLimits: string;
  /** The release that jails are made of, as Bastille knows it. */
  readonly jailRelease: string;
  /** Where Bastille fetches other releases. */
  readonly releasesUrl: string;
  /** Whether an installed instance has a pool. */
  readonly zfs: boolean;
  /** Services of the host that jails reach. */
  readonly hostPorts: readonly { readonly port: string; readonly proto: string; readonly tcp: boolean }[];
  readonly hostPortList: string;
  /** Networks whose SSH has no limit, as pf.conf has them; null for none. */
  readonly sshAllow: string | null;
  /** Ports of the host that are open beside those with keys of their own. */
  readonly openPorts: readonly { readonly port: number; readonly proto: string; readonly tcp: boolean }[];
  /** Ports of the host that lead to jails. */
  readonly forwards: readonly {
    readonly port: number;
    readonly proto: string;
    readonly tcp: boolean;
    readonly address: string;
    readonly to: number;
  }[];
  readonly states: States;
  readonly http: boolean;
  readonly https: boolean;
  /** Whether nginx runs. */
  readonly web: boolean;
  /** `address:port` behind HTTPS, or null. */
  readonly agentUi: string | null;
  readonly icmpEcho: boolean;
  /** Whether operators watch over VNC, over the tailnet. */
  readonly glasspane: boolean;
  readonly tailscale: boolean;
  /** Whether the host itself is a node of the tailnet. */
  readonly tailscaleHost: boolean;
  readonly tailscaleMode: string;
  readonly tailnetToJails: boolean;
  readonly console: string;
  readonly packages: string;
  readonly sshdFlags: string;
  /** Who gets mail when something needs a person; empty for nobody. */
  readonly notifyMail: string;
  /** Whether anybody is told, by mail or a webhook. */
  readonly notify: boolean;
  /** Whether metrics are written for node_exporter. */
  readonly metrics: boolean;
}

/** How many connections there may be at once: pf has a table of one size for all, and nobody gets all of it. */
export interface States {
  /** Of all. What the shares below leave is for SSH and for the host itself. */
  readonly all: number;
  /** Hosts whose connections are counted (max-src-conn). */
  readonly sources: number;
  /** Of each service for the internet but SSH. */
  readonly service: number;
  /** Of the jails of each bridge with others, where they come in. */
  readonly bridge: number;
  /** Of all jails with the internet, where they leave. */
  readonly out: number;
}

/** Entries of the table of states for each GiB of memory: pf's own size (PFSTATE_HIWAT, pf.h), which no machine has less of. */
const STATES = 100_000;
/** Of the hosts whose connections are counted. */
const SOURCES = 150_000;
const GIB = 1024 ** 3;
/** How many GiB count: with more, a flood costs more time than memory. */
const MOST = 16;

/**
 * A fifth for services, three for jails (coming in and going out), a fifth that nobody else uses up.
 *
 * @param memory bytes that the machine has
 */
function statesOf(services: number, bridges: number, memory: number): States {
  const times = Math.min(MOST, Math.max(1, Math.floor(memory / GIB)));
  const all = STATES * times;
  return {
    all,
    sources: SOURCES * times,
    service: Math.floor(all / 5 / Math.max(1, services)),
    bridge: Math.floor((all * 3) / 10 / Math.max(1, bridges)),
    out: (all * 3) / 10,
  };
}

/** The host answers its jails about names (rc.d/clawdie_dns). */
const DNS_PORTS = ['53/udp', '53/tcp'];

/** Bridges that pf.conf has rules for from the start, where the pool has nets for them. */
const BRIDGES = 8;

/** The bridges of the tenants, and of those that are yet to come. */
function allBridges(config: Config, tenants: readonly Tenant[]): readonly Tenant[] {
  let bridges = tenants;
  const spare: TenantEntry[] = [];
  while (bridges.length < BRIDGES) {
    spare.push({ name: `spare${spare.length}` });
    const more = assignTenants(config.ASSISTANT_NAME, config.AGENT_NET, config.JAIL_SUPERNET, [
      ...config.TENANTS,
      ...spare,
    ]);
    if ('message' in more) return bridges;
    bridges = more;
  }
  return bridges;
}

function limitWords({ memory, processes, cpu, disk }: JailLimits): string {
  return [formatAmount(memory), processes, cpu, disk].join(' ');
}

/** What FreeBSD's own ntp.conf asks. */
const FREEBSD_POOL = ['0.freebsd.pool.ntp.org', '2.freebsd.pool.ntp.org'];

function timeServers(ntp: Config['NTP']): View['timeServers'] {
  if (ntp === 'off') return [];
  return (ntp.length > 0 ? ntp : FREEBSD_POOL).map((host) => ({
    kind: ipaddr.isValid(host) ? 'server' : 'pool',
    host,
  }));
}

function hostInTailnet({ TAILSCALE: mode }: Config): boolean {
  return mode === 'host' || mode === 'subnet';
}

/** Packages of FreeBSD that keys other than PACKAGES need on the host, by the key. */
export function impliedPackages(config: Config): Readonly<Partial<Record<KeyName, readonly string[]>>> {
  return {
    ...(config.JAILS.length > 0 && { JAILS: ['bastille'] }),
    ...(config.HTTP && { HTTP: ['nginx'] }),
    ...(config.HTTPS && { HTTPS: ['nginx'] }),
    // With "jail" the jails are nodes, and have it from their template.
    ...(hostInTailnet(config) && { TAILSCALE: ['tailscale'] }),
    ...(config.GLASSPANE && { GLASSPANE: ['tmux', 'wayvnc', 'cage', 'chromium'] }),
  };
}

/** What the templates see of a configuration. Pure. */
export function makeView(config: Config): View {
  const tenants = assignTenants(
    config.ASSISTANT_NAME,
    config.AGENT_NET,
    config.JAIL_SUPERNET,
    config.TENANTS,
  );
  if ('message' in tenants) throw new Error(tenants.message); // crossCheck() has refused it
  const bridges = allBridges(config, tenants);
  const [own] = tenants;
  if (!own) throw new Error('there is always one tenant');
  const limits = {
    memory: config.JAIL_MEMORY,
    processes: config.JAIL_PROCESSES,
    cpu: config.JAIL_CPU,
    disk: config.JAIL_DISK,
  };
  const jails = planJails(config.JAILS, tenants, { network: config.JAIL_NETWORK, limits });
  if ('message' in jails) throw new Error(jails.message); // crossCheck() has refused it
  const forwards = config.FORWARD_PORTS.map(({ jail, ...forward }) => {
    const { address } = jails.find(({ name }) => name === jail) ?? {};
    if (address === undefined) throw new Error(`no jail ${jail}`); // crossCheck() has refused it
    return { ...forward, tcp: forward.proto === 'tcp', address };
  });
  const services =
    Number(config.HTTP) + Number(config.HTTPS) + config.OPEN_PORTS.length + 2 * forwards.length;
  const loopback = `${config.ASSISTANT_NAME}0`;
  return {
    assistant: config.ASSISTANT_NAME,
    hostname: config.HOSTNAME === '' ? config.ASSISTANT_NAME : config.HOSTNAME,
    timezone: config.TIMEZONE,
    install: config.INSTALL,
    installDisk: config.INSTALL_DISK,
    installFs: config.INSTALL_FS,
    installLayout: config.INSTALL_LAYOUT,
    installWipe: config.INSTALL_WIPE ? 'yes' : 'no',
    ...wanView(config),
    nameservers: config.DNS,
    timeServers: timeServers(config.NTP),
    time: config.NTP !== 'off',
    timeForJails: config.JAIL_HOST_PORTS.includes('123/udp'),
    syslogHost: config.SYSLOG?.host ?? '',
    syslogPort: config.SYSLOG === undefined ? '' : String(config.SYSLOG.port),
    tenants: tenants.map((tenant) => ({ ...tenant, ifconfig: `inet ${tenant.gateway}/24 group wardens up` })),
    bridges,
    tenantList: tenants
      .map(({ name, bridge, net, gateway }) => [name, bridge, net, gateway].join(':'))
      .join(' '),
    bridgeList: bridges.map(({ bridge, net, gateway }) => [bridge, net, gateway].join(':')).join(' '),
    cloned: ['lo1', ...tenants.map((_, index) => `bridge${index}`)].join(' '),
    loopback,
    jailTable: `${config.ASSISTANT_NAME}_jails`,
    bruteforceExpire: config.BRUTEFORCE_EXPIRE,
    agentNet: own.net,
    gateway: own.gateway,
    gateways: bridges.map(({ gateway }) => gateway).join(', '),
    supernet: formatNetwork4(config.JAIL_SUPERNET),
    jailNetwork: config.JAIL_NETWORK,
    jails: jails.map((jail) =>
      [jail.name, jail.tenant, jail.network, jail.address, jail.template, limitWords(jail)].join(' '),
    ),
    jailLimits: limitWords(limits),
    tenantLimits: [
      config.TENANT_MEMORY === undefined ? '-' : formatAmount(config.TENANT_MEMORY),
      config.TENANT_PROCESSES ?? '-',
      config.TENANT_CPU ?? '-',
      config.TENANT_DISK ?? '-',
    ].join(' '),
    jailRelease: jailRelease(config.FREEBSD_VERSION),
    releasesUrl: `${config.FREEBSD_MIRROR}/releases/`,
    zfs: config.INSTALL_FS === 'zfs',
    hostPorts: [...new Set([...DNS_PORTS, ...config.JAIL_HOST_PORTS])].map((item) => {
      const [port = '', proto = ''] = item.split('/');
      return { port, proto, tcp: proto === 'tcp' };
    }),
    sshAllow: config.SSH_ALLOW.length > 0 ? config.SSH_ALLOW.join(', ') : null,
    openPorts: config.OPEN_PORTS.map((port) => ({ ...port, tcp: port.proto === 'tcp' })),
    forwards,
    states: statesOf(services, bridges.length, config.MEMORY),
    hostPortList: config.JAIL_HOST_PORTS.join(' '),
    http: config.HTTP,
    https: config.HTTPS,
    web: config.HTTP || config.HTTPS,
    agentUi: config.AGENT_UI ?? null,
    icmpEcho: config.ICMP_ECHO,
    glasspane: config.GLASSPANE,
    tailscale: config.TAILSCALE !== 'off',
    tailscaleHost: hostInTailnet(config),
    tailscaleMode: config.TAILSCALE,
    tailnetToJails: config.TAILSCALE === 'subnet',
    console: config.CONSOLE,
    packages: [...new Set([...Object.values(impliedPackages(config)).flat(), ...config.PACKAGES])].join(' '),
    notifyMail: config.NOTIFY_MAIL ?? '',
    notify: config.NOTIFY_MAIL !== undefined || config.NOTIFY_WEBHOOK !== undefined,
    metrics: config.METRICS,
    sshdFlags: [
      ['PasswordAuthentication', config.SSH_PASSWORD_AUTH ? 'yes' : 'no'],
      ['KbdInteractiveAuthentication', 'no'],
      ['PermitRootLogin', config.SSH_PASSWORD_AUTH ? 'yes' : 'prohibit-password'],
      ['UseDNS', 'no'],
      // Keys of accounts that may take turns (accounts.sh), beside root's own.
      ['AuthorizedKeysFile', '.ssh/authorized_keys /etc/clawdie/keys/%u'],
      // No user of the host keeps these accounts from their turns by failing to log in.
      ['PerSourcePenaltyExemptList', '127.0.0.1'],
    ]
      // rc.subr(8) evaluates the flags.
      .map(([name, value]) => `-o ${shellQuote(`${name ?? ''}=${value ?? ''}`)}`)
      .join(' '),
  };
}
