/**
 * Names that an assistant cannot have, because `<name>0` or `<name>_jails` would be something else on FreeBSD.
 * Interfaces: if_clone(9) cloners and NIC drivers of amd64 GENERIC (section 4 of the manual, FreeBSD 15).
 */
const INTERFACES =
  'lo em igb igc ix ixl ixv ice iavf re rl bge bce bnxt bxe vtnet vmx hn xn nfe msk sk sis ste sge stge vr vge xl fxp dc ' +
  'ale alc age ae axe axge cdce cdceem ure urndis usie ue ue muge smsc aue rue udav mos kue ipheth ' +
  'cxgb cxgbe cxl cc ccv t3 t4 t5 t6 mlx mce mlxen mlxenet oce qlxgb qlxgbe qlnxe sfxge gve ena mana ena et lge lagg vlan ' +
  'bridge epair tap tun vmnet vxlan wg gif gre stf ipsec enc pflog pfsync pflow carp edsc disc faith ng ngeth ppp sl plip ' +
  'wlan ath iwm iwn iwx iwi ipw wpi ral rum run rtwn rsu urtw urtwn uath upgt zyd bwi bwn malo mwl mtw ovpn infracfg ib ipoib ' +
  'netmap vale ifb usbus fwe fwip ntb_transport dummynet me hostap rtw rtwlan iwlwifi';

const OURS = 'warden tailscale egress clawdiefw bruteforce rdr bastille jail jails host internet tailnet';
const PF =
  'all any self no on in out from to port pass block match rdr nat binat anchor table set scrub queue quick keep state inet inet6 ' +
  'log user group flags tag tagged route label rtable ruleset reply drop return persist const urpf group fragment';
/** Users and groups of FreeBSD 15 (etc/master.passwd, etc/group): an account of the host has the assistant's name. */
const SYSTEM =
  'root toor daemon operator bin tty kmem games news man sshd smmsp mailnull bind unbound proxy uucp pop auditdistd www ntpd ' +
  'hast tests nobody wheel sys mail staff guest video realtime idletime authpf dialer network audit nogroup ftp ' +
  'pf freebsd localhost';

const REASONS = new Map<string, string>();
for (const [words, reason] of [
  [SYSTEM, 'is a user, a group or a host name of the base system'],
  [PF, 'is a word of pf.conf(5)'],
  [INTERFACES, 'is the name of a FreeBSD network driver'],
  [OURS, 'is a name the image itself uses'],
] as const) {
  for (const word of words.split(' ')) REASONS.set(word, reason);
}

/** Why an assistant or a tenant cannot have this name, or undefined if it can. */
export function reservedReason(name: string): string | undefined {
  return REASONS.get(name);
}

/** Interfaces that the kernel, jails or a program make, and nobody plugs in: none of them faces the internet. */
const VIRTUAL = new Set(
  (
    'lo bridge warden epair tap tun vmnet pflog pfsync pflow enc gif gre stf ipfw wg disc edsc faith tailscale carp ovpn ' +
    'vxlan ipsec usbus dummynet ng ngeth'
  ).split(' '),
);

/** Whether an interface of this name is none that a network card has. */
export function isVirtual(name: string): boolean {
  return VIRTUAL.has(name.replace(/[0-9]+$/, ''));
}
