/**
 * Names of numbers in pf.conf(5), with the numbers of FreeBSD's headers: netinet/ip_icmp.h, netinet/icmp6.h,
 * /etc/protocols, /etc/services (the services that rule sets commonly name).
 */
const table = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text
      .trim()
      .split(/\s+/)
      .map((pair) => {
        const [name = '', number = ''] = pair.split('=');
        return [name, Number(number)];
      }),
  );

/** A number as strtoul(3) reads it where the base is left open: decimal, 0x for hexadecimal, 0 for octal. */
export function parseNumeral(text: string): number | undefined {
  if (/^0x[0-9a-f]+$/i.test(text) || /^(?:0|[1-9]\d*)$/.test(text)) return Number(text);
  return /^0[0-7]+$/.test(text) ? parseInt(text, 8) : undefined;
}

/** Numbers of the protocols that are spoken of by name in code (/etc/protocols). */
export const PROTO = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;

export const ICMP_TYPES = table(
  'echoreq=8 echorep=0 unreach=3 squench=4 redir=5 althost=6 routeradv=9 routersol=10 timex=11 paramprob=12 timereq=13 timerep=14 ' +
    'inforeq=15 inforep=16 maskreq=17 maskrep=18 trace=30 dataconv=31 mobredir=32 ipv6-where=33 ipv6-here=34 mobregreq=35 mobregrep=36 skip=39 photuris=40',
);
export const ICMP6_TYPES = table(
  'unreach=1 toobig=2 timex=3 paramprob=4 echoreq=128 echorep=129 groupqry=130 listqry=130 grouprep=131 listenrep=131 groupterm=132 listendone=132 ' +
    'routersol=133 routeradv=134 neighbrsol=135 neighbradv=136 redir=137 routrrenum=138 wrureq=139 wrurep=140 fqdnreq=139 fqdnrep=140 niqry=139 nirep=140 mtraceresp=200 mtrace=201',
);

const CODES: Readonly<Record<'inet' | 'inet6', Readonly<Record<number, ReadonlyMap<string, number>>>>> = {
  inet: {
    3: table(
      'net-unr=0 host-unr=1 proto-unr=2 port-unr=3 needfrag=4 srcfail=5 net-unk=6 host-unk=7 isolate=8 net-prohib=9 host-prohib=10 net-tos=11 host-tos=12 filter-prohib=13 host-preced=14 cutoff-preced=15',
    ),
    5: table('redir-net=0 redir-host=1 redir-tos-net=2 redir-tos-host=3'),
    9: table('normal-adv=0 common-adv=16'),
    11: table('transit=0 reassemb=1'),
    12: table('badhead=0 optmiss=1 badlen=2'),
    40: table('unknown-ind=1 auth-fail=2 decrypt-fail=3'),
  },
  inet6: {
    1: table('noroute-unr=0 admin-unr=1 notnbr-unr=2 beyond-unr=2 addr-unr=3 port-unr=4'),
    3: table('transit=0 reassemb=1'),
    4: table('badhead=0 nxthdr=1'),
    137: table('redironlink=0 redirrouter=1'),
  },
};

/** Codes of an ICMP type, by name. */
export function icmpCodes(af: 'inet' | 'inet6', type: number): ReadonlyMap<string, number> {
  return CODES[af][type] ?? new Map();
}

export const PROTOCOLS = table(
  'icmp=1 igmp=2 ggp=3 ipencap=4 ipv4=4 st2=5 tcp=6 cbt=7 egp=8 igp=9 pup=12 chaos=16 udp=17 hmp=20 xns-idp=22 rdp=27 iso-tp4=29 dccp=33 xtp=36 ddp=37 ipv6=41 ' +
    'ipv6-route=43 ipv6-frag=44 idrp=45 rsvp=46 gre=47 dsr=48 esp=50 ah=51 skip=57 ipv6-icmp=58 icmp6=58 ipv6-nonxt=59 ipv6-opts=60 vmtp=81 eigrp=88 ospf=89 mtp=92 ax.25=93 ' +
    'ipip=94 etherip=97 encap=98 pim=103 ipcomp=108 vrrp=112 carp=112 pgm=113 l2tp=115 isis=124 sctp=132 fc=133 udplite=136 shim6=140 pfsync=240 divert=258',
);

/**
 * Services of /etc/services that rule sets name, those first that getservbyport(3) gives; without a protocol they are of
 * tcp and udp. Names that are not here are refused, and their ports printed as numbers.
 */
const KNOWN_SERVICES = (
  'tcpmux=1 compressnet=2 compressnet=3 echo=7 discard=9 daytime=13 chargen=19 ftp-data=20 ftp=21 ssh=22 telnet=23 smtp=25 msg-icp=29 time=37 nicname=43 ' +
  'whois=43 mpm-flags=44 tacacs=49 domain=53 bootps=67 bootpc=68 tftp=69 gopher=70 finger=79 http=80 www=80 kerberos-sec=88 kerberos=88 pop3=110 ' +
  'sunrpc=111 auth=113 ident=113 nntp=119 ntp=123 netbios-ns=137 netbios-dgm=138 netbios-ssn=139 imap=143 snmp=161 snmptrap=162 bgp=179 irc=194 pip=321 ' +
  'ldap=389 https=443 microsoft-ds=445 isakmp=500 shell=514/tcp syslog=514/udp printer=515 efs=520/tcp router=520/udp dhcpv6-client=546 dhcpv6-server=547 ' +
  'rtsp=554 submission=587 ipp=631 ldaps=636 domain-s=853 rsync=873 imaps=993 pop3s=995 socks=1080 openvpn=1194 ms-sql-s=1433 l2f=1701 l2tp=1701 ' +
  'radius=1812/udp nfsd=2049 nfs=2049 mysql=3306 ms-wbt-server=3389 rdp=3389 sip=5060 xmpp-client=5222 postgresql=5432 personal-agent=5555/tcp ' +
  'rplay=5555/udp vnc-server=5900 x11=6000 ircd=6667/tcp http-alt=8080'
).split(' ');

const services = new Map<string, number>();
const serviceNames = new Map<string, string>();
for (const service of KNOWN_SERVICES) {
  const [name = '', port = '', only] = service.split(/[=/]/);
  if (!services.has(name)) services.set(name, Number(port));
  for (const proto of only === undefined ? ['tcp', 'udp'] : [only])
    if (!serviceNames.has(port + proto)) serviceNames.set(port + proto, name);
}

/** Ports by the names of their services. */
export const SERVICES: ReadonlyMap<string, number> = services;

/** The service of a port, as pfctl prints it: that of UDP for all but TCP (print_fromto() of pfctl_parser.c). */
export function serviceName(port: number, proto: number | undefined): string | undefined {
  return serviceNames.get(`${port}${proto === PROTO.tcp ? 'tcp' : 'udp'}`);
}

/** Timeouts of `set timeout` and of state options. Only names with a dot may be state options. In the kernel's order (PFTM_ of netpfil/pf/pf.h). */
export const TIMEOUTS: ReadonlySet<string> = new Set(
  (
    'tcp.first tcp.opening tcp.established tcp.closing tcp.finwait tcp.closed ' +
    'udp.first udp.single udp.multiple icmp.first icmp.error other.first other.single other.multiple frag interval adaptive.start adaptive.end src.track ' +
    'tcp.tsdiff sctp.first sctp.opening sctp.established sctp.closing sctp.closed'
  ).split(' '),
);

export const LIMITS: ReadonlySet<string> = new Set(
  'states frags src-nodes tables table-entries anchors eth-anchors'.split(' '),
);

/** TCP flags in the order in which pfctl writes them. */
export const TCP_FLAGS = 'FSRPAUEW';

const reverse = (map: ReadonlyMap<string, number>): ReadonlyMap<number, string> => {
  const result = new Map<number, string>();
  for (const [name, number] of map) if (!result.has(number)) result.set(number, name);
  return result;
};

export const PROTOCOL_NAMES = reverse(PROTOCOLS);
const ICMP_NAMES = reverse(ICMP_TYPES);
const ICMP6_NAMES = reverse(ICMP6_TYPES);

export function icmpTypeName(af: 'inet' | 'inet6', type: number): string | undefined {
  return (af === 'inet' ? ICMP_NAMES : ICMP6_NAMES).get(type);
}

export function icmpCodeName(af: 'inet' | 'inet6', type: number, code: number): string | undefined {
  return reverse(icmpCodes(af, type)).get(code);
}

/** Words of the grammar (the keyword table of pfctl's parse.y): unquoted, they are never names. */
export const KEYWORDS: ReadonlySet<string> = new Set(
  (
    'af-to all allow-opts allow-related altq anchor antispoof any bandwidth binat binat-anchor binat-to bitmask block block-policy bridge-to buckets cbq code codelq debug divert-reply divert-to dnpipe dnqueue drop dup-to ' +
    'endpoint-independent ether fail-policy fairq fastroute file fingerprints flags floating flush for fragment from global group hfsc hogs hostid icmp-type icmp6-type if-bound in include inet inet6 interval keep ' +
    'keepcounters l3 label limit linkshare load log loginterface map-e-portset match matches max max-mss max-pkt-rate max-pkt-size max-src-conn max-src-conn-rate max-src-nodes max-src-states min-ttl modulate nat ' +
    'nat-anchor nat-to no no-df no-route no-sync on optimization os out overload pass pflow port prefer-ipv6-nexthop prio priority priq probability proto qlimit queue quick random random-id rdr rdr-anchor rdr-to realtime reassemble received-on ' +
    'reply-to require-order return return-icmp return-icmp6 return-rst ridentifier round-robin route route-to rtable rule ruleset-optimization scrub set set-tos skip sloppy source-hash source-track state state-defaults ' +
    'state-policy static-port sticky-address syncookies synproxy table tag tagged target tbrsize timeout to tos ttl upperlimit urpf-failed user'
  ).split(' '),
);

/** Ports that nat rules take where they name none (PF_NAT_PROXY_PORT_LOW, _HIGH of sbin/pfctl/pfctl_parser.h). */
export const PROXY_PORTS = { low: 50001, high: 65535 } as const;

/** Timeouts of a rule with `max` that names none: pfctl gives it these (parse.y), and prints them. */
export function adaptiveOf(max: number): Readonly<Record<'adaptive.start' | 'adaptive.end', number>> {
  return { 'adaptive.start': Math.floor(max / 10) * 6, 'adaptive.end': Math.floor(max / 10) * 12 };
}
