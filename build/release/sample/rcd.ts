/**
 * Headers of the rc.d scripts of FreeBSD 15.1-RELEASE-p1 (src/libexec/rc/rc.d), of a world without Bluetooth, NIS, ZFS,
 * Kerberos, NTP and Unbound: `script|PROVIDE|REQUIRE|BEFORE|KEYWORD`.
 */
const HEADERS = `
DAEMON|DAEMON|NETWORKING SERVERS||
FILESYSTEMS|FILESYSTEMS|root mountcritlocal tmp var||
LOGIN|LOGIN|DAEMON||
NETWORKING|NETWORKING NETWORK|netif netwait netoptions routing ppp ipfw stf defaultroute route6d resolv bridge static_arp static_ndp||
SERVERS|SERVERS|mountcritremote sysvipc linux ldconfig savecore watchdogd||
adjkerntz|adjkerntz|FILESYSTEMS|netif|nojail
bgfsck|bgfsck|cron devfs syslogd||nojail
blacklistd|blacklistd|netif ipfilter ipfw pf||
blocklistd|blocklistd|netif ipfilter ipfw pf||
bridge|bridge|netif ppp stf||nojailvnet
ccd|disks|||nojail
cfumass|cfumass|var||nojail
cleanvar|cleanvar|var|FILESYSTEMS|
cleartmp|cleartmp|mountcritremote tmp|DAEMON|
cron|cron|LOGIN FILESYSTEMS|securelevel|shutdown
ctld|ctld|FILESYSTEMS NETWORKING|DAEMON|nojail
ddb|ddb|dumpon|disks|nojail
defaultroute|defaultroute|devd netif stf||nojailvnet
devd|devd|netif ldconfig|NETWORKING mountcritremote|nojail shutdown
devfs|devfs|mountcritremote|SERVERS securelevel|nojail
devmatch|devmatch|kld|netif|nojail
dhclient|dhclient|||nojailvnet nostart
dmesg|dmesg|mountcritremote FILESYSTEMS|DAEMON|nojail
dnctl|dnctl||pf ipfw|nojailvnet
dumpon|dumpon||disks|nojail
fsck|fsck|swap||nojail
ftp-proxy|ftp-proxy|DAEMON pf||shutdown
geli|disks|||nojail
geli2|geli2|FILESYSTEMS||nojail
ggated|ggated|NETWORKING||
gptboot|gptboot|mountcritremote||nojail
growfs|growfs|fsck|root|firstboot
growfs_fstab|growfs_fstab|growfs root||firstboot
hostid|hostid|sysctl||nojail
hostid_save|hostid_save|hostid root||nojail
hostname|hostname|FILESYSTEMS|netif|
inetd|inetd|DAEMON LOGIN FILESYSTEMS||shutdown
iovctl|iovctl|FILESYSTEMS sysctl kld||
ip6addrctl|ip6addrctl|FILESYSTEMS|netif|nojailvnet
ipfilter|ipfilter|FILESYSTEMS|ipmon ipnat netif netwait securelevel|nojailvnet
ipfs|ipfs|ipnat|netif|nojail shutdown
ipfw|ipfw|ppp||nojailvnet
ipfw_netflow|ipfw_netflow|ipfw||nojailvnet
ipmon|ipmon|FILESYSTEMS hostname sysctl|SERVERS|nojailvnet
ipnat|ipnat|||nojailvnet
ippool|ippool|FILESYSTEMS|ipfilter|nojailvnet
ipsec|ipsec|FILESYSTEMS|DAEMON mountcritremote|nojailvnet
jail|jail|LOGIN FILESYSTEMS|securelevel|shutdown
kld|kld|kldxref||nojail
kldxref|kldxref|mountcritlocal|netif|nojail
ldconfig|ldconfig|FILESYSTEMS|DAEMON|
linux|linux|kldxref zfs||nojail
local|local|DAEMON|LOGIN|shutdown
localpkg|localpkg|sysvipc linux|securelevel|shutdown
lockd|lockd|nfsclient rpcbind statd|DAEMON|nojail shutdown
mdconfig|mdconfig|swap root||
mdconfig2|mdconfig2|mountcritremote|SERVERS|
motd|motd|mountcritremote FILESYSTEMS|LOGIN|
mountcritlocal|mountcritlocal|root hostid_save mdconfig||nojail shutdown
mountcritremote|mountcritremote|NETWORKING FILESYSTEMS ipsec netwait nfscbd||nojail
mountd|mountd|NETWORKING rpcbind quota mountlate||nojailvnet shutdown
mountlate|mountlate|DAEMON|LOGIN|nojail
msgs|msgs|LOGIN||
natd|natd|||nostart nojailvnet
netif|netif|FILESYSTEMS iovctl serial sysctl hostid||nojailvnet
netoptions|netoptions|FILESYSTEMS|netif|nojailvnet
netwait|netwait|devd ipfw pf routing||
newsyslog|newsyslog|FILESYSTEMS mountcritremote||
nfscbd|nfscbd|NETWORKING nfsuserd||nojail shutdown
nfsclient|nfsclient|NETWORKING mountcritremote rpcbind||nojail shutdown
nfsd|nfsd|mountcritremote mountd hostname gssd nfsuserd||nojailvnet shutdown
nfsuserd|nfsuserd|NETWORKING||nojailvnet shutdown
noshutdown|noshutdown|FILESYSTEMS|LOGIN|
nscd|nscd|DAEMON|LOGIN|shutdown
nuageinit|nuageinit|mountcritlocal zfs devmatch|NETWORKING|firstboot
nuageinit_post_net|nuageinit_post_net|NETWORKING devfs|SERVERS|firstboot
nuageinit_user_data_script|nuageinit_user_data_script|local||firstboot
os-release|os-release|mountcritremote FILESYSTEMS|LOGIN|
pf|pf|FILESYSTEMS netif pflog pfsync routing||nojailvnet
pflog|pflog|FILESYSTEMS netif||nojailvnet
pfsync|pfsync|FILESYSTEMS netif||nojailvnet
power_profile|power_profile|FILESYSTEMS syslogd||nojail nostart
powerd|powerd|DAEMON|LOGIN|nojail shutdown
pppoed|pppoed|NETWORKING|DAEMON|nojail
pwcheck|pwcheck|mountcritremote syslogd|DAEMON|
quota|quota|mountcritremote ypset|DAEMON|nojail
random|random|FILESYSTEMS|netif|nojail shutdown
rarpd|rarpd|DAEMON FILESYSTEMS|LOGIN|nojailvnet
rctl|rctl|FILESYSTEMS|LOGIN|nojail
resolv|resolv|netif FILESYSTEMS||nojail
root|root|fsck||nojail
route6d|route6d|netif routing||nojailvnet
routed|routed dynamicrouting|netif routing|NETWORKING|nojailvnet
routing|routing|netif ppp stf||nojailvnet
rpcbind|rpcbind|NETWORKING ntpdate syslogd||shutdown
rtadvd|rtadvd|DAEMON|LOGIN|nojailvnet shutdown
rtsold|rtsold|netif|NETWORKING|nojailvnet shutdown
rwho|rwho|DAEMON|LOGIN|shutdown
savecore|savecore|dumpon ddb syslogd||nojail
securelevel|securelevel|adjkerntz ipfw pf sysctl_lastload||
serial|serial|root||nojail
sshd|sshd|LOGIN FILESYSTEMS||shutdown
statd|statd|nfsclient rpcbind|DAEMON|nojail shutdown
static_arp|static_arp|netif||nojailvnet
static_ndp|static_ndp|netif||nojailvnet
stf|stf|netif||nojail
swap|swap|disks||nojail shutdown
swaplate|swaplate|mountlate||nojail shutdown
sysctl|sysctl|||
sysctl_lastload|sysctl_lastload|LOGIN|jail|
syslogd|syslogd|mountcritremote FILESYSTEMS newsyslog netif|SERVERS|
sysvipc|sysvipc|kldxref||nojail
tlsclntd|tlsclntd|NETWORKING root mountcritlocal sysctl|nfscbd|nojail shutdown
tlsservd|tlsservd|NETWORKING root mountcritlocal sysctl|nfsd|nojailvnet shutdown
tmp|tmp|mountcritlocal||
ugidfw|ugidfw|FILESYSTEMS|LOGIN|nojail shutdown
utx|utx|DAEMON FILESYSTEMS|LOGIN|shutdown
var|var|mountcritlocal||
var_run|var_run|mountcritlocal|cleanvar|shutdown
watchdogd|watchdogd|FILESYSTEMS syslogd||nojail shutdown
`;

/** The scripts as text, header and nothing else, by name: what the sample release has in etc/rc.d. */
export function rcScripts(): readonly { readonly name: string; readonly text: string }[] {
  return HEADERS.trim()
    .split('\n')
    .map((line) => {
      const [name = '', ...values] = line.split('|');
      const lines = ['PROVIDE', 'REQUIRE', 'BEFORE', 'KEYWORD'].flatMap((word, index) =>
        values[index] ? [`# ${word}: ${values[index]}\n`] : [],
      );
      return {
        name,
        text: `#!/bin/sh\n# Header of a script of FreeBSD; part of the sample release.\n\n${lines.join('')}\nexit 1\n`,
      };
    });
}
