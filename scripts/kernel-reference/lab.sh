#!/bin/sh
# Has the pf of a FreeBSD machine decide about packets, in a jail with a network of its own: nothing of the machine's changes.
#
#	sh lab.sh [-v] REFEREE DIRECTORY
#
# Run it as root. REFEREE is referee.c, compiled (cc -o referee referee.c); DIRECTORY has the rule sets and packets that
# "main.ts make" wrote, and gets what pfctl and the kernel say of them. world.ts has the same interfaces and routes.
set -eu

verbose=
if [ "$1" = -v ]; then
	verbose=-v
	shift
fi
# jexec(8) goes to another folder.
referee=$(realpath "$1") directory=$(realpath "$2") jail=pfreference
# As the rules call them, what they are, and a group of theirs.
devices='em0:tap70:egress em1:tap71:inside em2:tap72:inside feed0:tun70:feed feed1:tun71:feed'

kldload -nq pf pflog if_tuntap

cleanup() {
	# They come back from the jail by the name that they have there, which may be that of a card of the machine.
	for device in ${devices}; do
		unit=${device#*:}
		unit=${unit%:*}
		jexec "${jail}" ifconfig "${device%%:*}" name "${unit}" >/dev/null 2>&1 || :
	done
	jail -r "${jail}" 2>/dev/null || :
	for device in ${devices}; do
		unit=${device#*:}
		unit=${unit%:*}
		ifconfig "${unit}" destroy 2>/dev/null || :
	done
}
trap cleanup EXIT
cleanup

# Clearing states walks a table of so many rows: by default 131072, which takes longer than all else.
kenv net.pf.states_hashsize=64 >/dev/null
jail -c name="${jail}" path=/ vnet allow.raw_sockets persist
kenv -qu net.pf.states_hashsize
in_jail() {
	jexec -l "${jail}" "$@"
}
# No link-local addresses but those below, and no waiting for neighbours.
in_jail sysctl -q net.inet6.ip6.auto_linklocal=0 net.inet6.ip6.dad_count=0 net.inet.ip.forwarding=1 \
    net.inet6.ip6.forwarding=1 net.inet.ip.redirect=0 net.inet6.ip6.redirect=0 net.inet.icmp.icmplim=0 >/dev/null
in_jail ifconfig lo0 inet 127.0.0.1/8 up
in_jail ifconfig lo0 inet6 ::1/128

for device in ${devices}; do
	name=${device%%:*} unit=${device#*:} group=${device##*:}
	unit=${unit%:*}
	ifconfig "${unit}" create
	ifconfig "${unit}" vnet "${jail}"
	in_jail ifconfig "${unit}" name "${name}" >/dev/null
	in_jail ifconfig "${name}" group "${group}"
	in_jail ifconfig "${name}" inet6 -ifdisabled
done
for unit in 0 1 2; do
	in_jail ifconfig "em${unit}" ether "02:00:00:00:00:0${unit}"
done
in_jail ifconfig em0 inet 192.0.2.1/24 up
in_jail ifconfig em0 inet 192.0.2.130/32 alias
in_jail ifconfig em0 inet6 2001:db8::1/64
in_jail ifconfig em0 inet6 fe80::1/64
in_jail ifconfig em1 inet 10.1.0.1/16 up
in_jail ifconfig em1 inet6 2001:db8:1::1/64
in_jail ifconfig em2 inet 172.16.5.1/30 up
in_jail ifconfig em2 inet6 2001:db8:2::1/64
in_jail ifconfig feed0 up
in_jail ifconfig feed1 up

# route FAMILY NETWORK GATEWAY
route() {
	in_jail route -q add "-$1" "$2" "$3"
}
route inet default 192.0.2.254
route inet 10.0.0.0/8 10.1.255.254
route inet 172.16.0.0/12 10.1.255.254
route inet 198.51.100.0/24 172.16.5.2
route inet6 default 2001:db8::fe
route inet6 fd00::/8 2001:db8:1::fe
route inet6 2001:db8:ffff::/48 2001:db8:2::fe

in_jail ifconfig pflog0 create 2>/dev/null || :
in_jail ifconfig pflog0 up
in_jail pfctl -qe || :
in_jail sysctl -n net.pf.default_to_drop >"${directory}/default_to_drop"
in_jail ifconfig -a
in_jail "${referee}" ${verbose} "${directory}"
