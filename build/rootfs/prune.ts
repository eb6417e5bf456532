export type Profile = 'minimal' | 'standard' | 'full';

/** A part of the base system that an image leaves out, and why. */
export interface PruneRule {
  readonly why: string;
  readonly pattern: RegExp;
}

/** Left out of every image. */
const ALWAYS: readonly PruneRule[] = [
  { why: 'debug information', pattern: /^usr\/lib\/debug(\/|$)|\.(debug|symbols)$/ },
  { why: 'test suites', pattern: /^usr\/tests(\/|$)/ },
  { why: 'sources', pattern: /^usr\/(src|obj)(\/|$)|^sys$/ },
  {
    why: '32-bit libraries',
    pattern: /^usr\/lib32(\/|$)|^libexec\/ld-elf32\.so|^usr\/libexec\/ld-elf32\.so/,
  },
  { why: 'profiled libraries', pattern: /^usr\/lib\/.*_p\.a$/ },
];

const TOOLCHAIN =
  'cc c\\+\\+ CC clang clang\\+\\+ clang-cpp clang-scan-deps cpp c89 c99 lld ld ld\\.lld ld\\.bfd lldb lldb-server lldb-dap ' +
  'llvm-[a-z+-]+ addr2line ar as nm objcopy objdump ranlib readelf size strip strings c\\+\\+filt elfctl gcov ' +
  'yacc byacc lex lex\\+\\+ flex flex\\+\\+ ctags dtrace lockstat ctfconvert ctfdump ctfmerge';

/** Left out of "minimal" and "standard": what nobody needs on a running instance. */
const RUNNING: readonly PruneRule[] = [
  {
    why: 'compiler, linker and debugger',
    pattern: new RegExp(`^usr/bin/(?:${TOOLCHAIN.split(' ').join('|')})$`),
  },
  {
    why: 'compiler, linker and debugger',
    pattern: /^usr\/lib\/(clang(\/|$)|lib(lldb|private(clang|llvm|lldb)|clang|LTO)[^/]*)/,
  },
  { why: 'headers', pattern: /^usr\/include(\/|$)/ },
  {
    why: 'static libraries and link files',
    pattern: /^usr\/lib\/(?:.*\/)?[^/]+\.a$|^usr\/libdata\/(pkgconfig|lint|ldscripts)(\/|$)/,
  },
  {
    why: 'manual pages and documentation',
    pattern:
      /^usr\/share\/(man|openssl\/man|doc|info|examples|calendar|dict|games|sendmail|me|tmac|groff_font|mk|syscons|dtrace|atf|kyua|snmp|security\/advisories)(\/|$)/,
  },
  { why: 'build system', pattern: /^usr\/share\/(mk|skel\/src)(\/|$)|^boot\/kernel\.old(\/|$)/ },
  {
    why: 'sound, wireless and storage firmware',
    pattern:
      /^boot\/(kernel|firmware)\/(snd_[^/]*|[^/]*fw[^/]*\.ko|if_(iw[a-z]*|ath[^/]*|ral|rum|run|rsu|rtw[^/]*|urtw[^/]*|wpi|bwi|bwn|malo|mwl|mt[0-9w][^/]*|uath|upgt|ural|zyd|otus|ipw)[^/]*\.ko|rtw[^/]*|iwl[^/]*|ispfw[^/]*|isp_[^/]*\.ko)$/,
  },
  {
    why: 'wireless tools',
    pattern: /^usr\/sbin\/(wpa_(supplicant|cli|passphrase)|hostapd(_cli)?|ancontrol|wlandebug|wlanstats)$/,
  },
  {
    why: 'bluetooth',
    pattern:
      /^usr\/(sbin|bin)\/(bt[a-z]+|bluetooth-config|bthost|btpand|hc[a-z]+|hcsecd|l2(control|ping)|rfcomm_[a-z]+|sdp(control|d)|ath3kfw|bcmfw|iwmbtfw|rtlbtfw|ng_[a-z]*)$|^etc\/bluetooth(\/|$)/,
  },
];

/** Left out of "minimal" beyond that. */
const BARE: readonly PruneRule[] = [
  { why: 'rescue tools', pattern: /^rescue\/./ },
  {
    why: 'ZFS',
    pattern:
      /^(sbin\/(zfs|zpool|bectl|zfsbootcfg)|usr\/sbin\/(zdb|zhack|zstream|zinject|zfsd)|boot\/kernel\/(zfs|opensolaris)\.ko|usr\/share\/zfs(\/.*)?)$/,
  },
  {
    why: 'virtual machine monitor',
    pattern:
      /^(usr\/sbin\/(bhyve[a-z]*|vmm[a-z]*)|usr\/share\/bhyve(\/.*)?|boot\/(userboot[^/]*|kernel\/(vmm|nmdm)\.ko))$/,
  },
  {
    why: 'locales other than C.UTF-8',
    pattern: /^usr\/share\/(locale\/(?!C\.UTF-8)[^/]+(\/.*)?|nls(\/.*)?|i18n(\/.*)?)$/,
  },
  { why: 'text consoles other than the first', pattern: /^usr\/share\/vt\/(fonts|keymaps)\/(?!us\.kbd).+/ },
  { why: 'mail server', pattern: /^usr\/(libexec\/sendmail|sbin\/sendmail\.cf|share\/sendmail)(\/|$)/ },
];

/** Kernel modules of the "minimal" image: what a virtual machine with jails and a firewall loads at run time. */
const MINIMAL_MODULES = new Set(
  (
    'kernel linker.hints pf.ko pflog.ko pfsync.ko if_bridge.ko bridgestp.ko if_epair.ko if_tuntap.ko if_wg.ko if_vlan.ko ' +
    'if_lagg.ko if_infiniband.ko nullfs.ko tmpfs.ko fdescfs.ko procfs.ko pseudofs.ko cd9660.ko msdosfs.ko fusefs.ko unionfs.ko ' +
    'virtio.ko virtio_pci.ko virtio_blk.ko virtio_scsi.ko virtio_balloon.ko virtio_random.ko virtio_console.ko if_vtnet.ko ' +
    'aesni.ko cryptodev.ko crypto.ko geom_eli.ko geom_label.ko geom_uzip.ko ipfw.ko dummynet.ko libalias.ko ichsmb.ko ' +
    'hpet.ko coretemp.ko cpuctl.ko if_em.ko if_igb.ko if_igc.ko if_ix.ko if_ixl.ko if_vmx.ko if_re.ko if_ena.ko if_gve.ko ' +
    'netgraph.ko ng_ether.ko ng_bridge.ko ng_eiface.ko ng_socket.ko racct.ko mac_ntpd.ko mac_portacl.ko mac_seeotheruids.ko'
  ).split(' '),
);

const RULES: Readonly<Record<Profile, readonly PruneRule[]>> = {
  full: ALWAYS,
  standard: [...ALWAYS, ...RUNNING],
  minimal: [...ALWAYS, ...RUNNING, ...BARE],
};

/** Why a path of the release is left out of an image with this profile, or undefined if it is kept. */
export function pruneReason(profile: Profile, path: string): string | undefined {
  const rule = RULES[profile].find(({ pattern }) => pattern.test(path));
  if (rule) return rule.why;
  if (
    profile === 'minimal' &&
    /^boot\/kernel\/./.test(path) &&
    !MINIMAL_MODULES.has(path.slice('boot/kernel/'.length))
  ) {
    return 'kernel modules that no virtual machine needs';
  }
  return undefined;
}
