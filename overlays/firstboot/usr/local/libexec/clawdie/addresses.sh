#!/bin/sh
# The addresses that services of this host listen on, a line each: its own, and never the wildcard. A plain jail has the
# host's network stack: at its own address, and at 127.0.0.1, which the kernel turns into that, a socket of the host on
# the wildcard would answer.
#   addresses.sh [PORT/PROTOCOL]
# Gateways of bridges are among them where JAIL_HOST_PORTS of build.cfg names the service. Loopback comes first, then
# IPv4: sshd(8) takes 16 at most, and a router may hand out many of IPv6.
set -u

root=${CLAWDIE_ROOT-}
service=${1-}

LOOPBACK=
HOST_PORTS=
EXT_IF=auto
# shellcheck source=/dev/null
[ ! -r "${root}/etc/clawdie/clawdie.conf" ] || . "${root}/etc/clawdie/clawdie.conf"

gateways=no
for port in ${HOST_PORTS}; do
	[ "${port}" != "${service}" ] || gateways=yes
done

# The addresses of jails, those that run and those that Bastille starts: a jail may have one on any interface.
of_jails()
{
	jls -n ip4.addr ip6.addr 2> /dev/null | tr -s ', ' '\n' | sed -n 's/^\(ip[46]\.addr=\)\{0,1\}\([0-9a-fA-F.:]*\)$/\2/p'
	cat "${root}/usr/local/bastille/jails/"*/jail.conf 2> /dev/null |
	    sed -n 's/^[[:space:]]*ip[46]\.addr[[:space:]]*[+]\{0,1\}=[[:space:]]*"\{0,1\}\([^;"]*\).*/\1/p' |
	    tr -s ', ' '\n' | sed 's/^.*|//; s/\/.*$//'
}

# Those of the host by where they are: "4 ADDRESS", "6 ADDRESS", "gateway ADDRESS".
of_host()
{
	ifconfig 2> /dev/null | awk -v "jails=${LOOPBACK}" -v "external=${EXT_IF}" '
	function done_with(    i) {
		for (i = 1; i <= count; i++)
			print (bridge && !egress ? "gateway" : family[i]), address[i]
		count = bridge = egress = 0
	}
	/^[^[:space:]]/ { done_with(); name = $1; sub(/:$/, "", name); egress = (name == external) }
	# A loopback has, beside its own two, addresses of jails.
	name == jails || name ~ /^lo[0-9]+$/ { next }
	$1 == "groups:" {
		for (i = 2; i <= NF; i++) {
			if ($i == "wardens" || $i == "bridge") bridge = 1
			if ($i == "egress") egress = 1
		}
	}
	$1 == "inet" { count++; family[count] = 4; address[count] = $2 }
	$1 == "inet6" {
		if ($0 ~ / (tentative|duplicated|detached)/ || $2 ~ /%|^fe80:/) next
		count++; family[count] = 6; address[count] = $2
	}
	END { done_with() }'
}

jails=$(of_jails)
own=$(of_host)
# Without those of jails; but a host that has none besides is to be reached all the same.
without=$(echo "${own}" | awk -v "jails=$(echo "${jails}" | tr '\n' ' ')" '
BEGIN { n = split(jails, list, " "); for (i = 1; i <= n; i++) jail[list[i]] = 1 }
!($2 in jail)')
case "${without}" in
"4 "* | "6 "* | *"
4 "* | *"
6 "*) own=${without} ;;
esac

{
	echo 127.0.0.1
	echo ::1
	echo "${own}" | sed -n 's/^4 //p'
	echo "${own}" | sed -n 's/^6 //p'
	[ "${gateways}" = "no" ] || echo "${own}" | sed -n 's/^gateway //p'
} | awk '!seen[$0]++ && count++ < 16'
