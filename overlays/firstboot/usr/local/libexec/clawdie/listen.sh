#!/bin/sh
# Run at the end of a boot, every minute, and when an address has changed: has the services of this host listen on the
# addresses that it has now (addresses.sh). What listens as it should is left alone; sessions that are open go on.
#
# There is no rule of devd(8) for addresses: the kernel tells it of those of VNET jails as well, by whatever name root in
# the jail gives the interface, as often as that root likes (rt_addrmsg(), sys/net/route.c).
set -u

here=${0%/*}
root=${CLAWDIE_ROOT-}
state=${root}/var/run/clawdie
umask 077
mkdir -p "${state}"

HTTP=NO
HTTPS=NO
GLASSPANE=NO
SYSLOG_HOST=
SYSLOG_PORT=
# shellcheck source=/dev/null
. "${root}/etc/clawdie/clawdie.conf"

say()
{
	logger -t clawdie_listen -p daemon.notice "$*"
}

# The addresses that a command of the host, not of a jail, listens on: bound COMMAND PORT
bound()
{
	# Without -w an address is cut off at 21 characters.
	sockstat -46lqw -j 0 -P tcp -p "$2" 2> /dev/null | awk -v "command=$1" -v "port=:$2" '
	$2 == command && substr($6, length($6) - length(port) + 1) == port {
		address = substr($6, 1, length($6) - length(port))
		gsub(/[][]/, "", address)
		print address
	}' | sort -u
}

# A service listens on what it should, or is told to anew: settle SERVICE VERB COMMAND PORT ADDRESS ...
settle()
{
	_service=$1 _verb=$2 _command=$3 _port=$4
	shift 4
	_wanted=$(printf '%s\n' "$@" | sort -u)
	_mark=${state}/listen.${_service}.${_port}
	if ! service "${_service}" onestatus > /dev/null 2>&1; then
		# Whoever has stopped a service means it, unless it was stopped here and did not come back.
		[ -e "${_mark}.restarting" ] || return 0
		say "${_service} did not come back: starting it"
		! service "${_service}" onestart > /dev/null 2>&1 || rm -f "${_mark}.restarting"
		return 0
	fi
	rm -f "${_mark}.restarting"
	if [ "$(bound "${_command}" "${_port}")" = "${_wanted}" ]; then
		rm -f "${_mark}"
		return 0
	fi
	# An address that cannot be listened on is tried again, but not every minute.
	if [ "$(cat "${_mark}" 2> /dev/null)" = "${_wanted}" ] && [ -n "$(find "${_mark}" -mmin -10)" ]; then
		return 0
	fi
	echo "${_wanted}" > "${_mark}"
	: > "${_mark}.restarting"
	say "${_service}, port ${_port}, is to listen on $(echo "${_wanted}" | tr '\n' ' ')"
	service "${_service}" "one${_verb}" > /dev/null 2>&1
	! service "${_service}" onestatus > /dev/null 2>&1 || rm -f "${_mark}.restarting"
}

# The addresses of a host, by name or written as such.
addresses_of()
{
	case "$1" in
	*:*) echo "$1" ;;
	*[!0-9.]*) getaddrinfo -t dgram "$1" 2> /dev/null | awk '{ print $4 }' ;;
	*) echo "$1" ;;
	esac
}

# The line of syslog.conf(5) for the first address of the host of SYSLOG that there is a route to; none without.
remote_line()
{
	for _address in $(addresses_of "${SYSLOG_HOST}"); do
		case "${_address}" in
		*:*)
			route -n get -inet6 "${_address}" > /dev/null 2>&1 || continue
			_address="[${_address}]"
			;;
		*) route -n get "${_address}" > /dev/null 2>&1 || continue ;;
		esac
		printf '*.*\t@%s:%s\n' "${_address}" "${SYSLOG_PORT}"
		# A socket that is connected keeps the host's address of that time.
		echo "# from $("${here}/addresses.sh" | tr '\n' ' ')"
		return
	done
}

# syslogd(8) connects to a remote host when it reads its configuration, and ends where there is no route: the line that
# names the host is there while there is one.
remote_log()
{
	[ -n "${SYSLOG_HOST}" ] || return 0
	_conf=${state}/syslog.conf
	if ! service syslogd onestatus > /dev/null 2>&1; then
		# Whoever has stopped it means it, unless the line was its end.
		[ -e "${_conf}" ] || return 0
		rm -f "${_conf}"
		service syslogd onestart > /dev/null 2>&1
		say "syslogd had ended: it runs again, without ${SYSLOG_HOST} for now"
		return 0
	fi
	_line=$(remote_line)
	[ "$(cat "${_conf}" 2> /dev/null)" != "${_line}" ] || return 0
	if [ -n "${_line}" ]; then
		echo "${_line}" > "${_conf}"
	else
		rm -f "${_conf}"
	fi
	mkdir -p "${root}/usr/local/etc/syslog.d"
	ln -sf /var/run/clawdie/syslog.conf "${root}/usr/local/etc/syslog.d/clawdie.conf"
	service syslogd reload > /dev/null 2>&1
}

# The glasspane is shown on the tailnet's address, which may come late, or be another one.
glasspane()
{
	[ "${GLASSPANE}" = "YES" ] || return 0
	# Whoever has stopped it means it.
	pgrep -F "${state}/glasspane-desktop.pid" > /dev/null 2>&1 || return 0
	_address=$(ifconfig tailscale0 2> /dev/null | awk '$1 == "inet" { print $2; exit }')
	[ "$(cat "${state}/glasspane.address" 2> /dev/null)" != "${_address}" ] || return 0
	say "the glasspane moves to ${_address:-nowhere}"
	service clawdie_glasspane vnc > /dev/null 2>&1
}

# Words that are addresses.
# shellcheck disable=SC2046
{
	settle sshd restart sshd 22 $("${here}/addresses.sh" 22/tcp)
	[ "${HTTP}" != "YES" ] || settle clawdie_web reload nginx 80 $("${here}/addresses.sh" 80/tcp)
	[ "${HTTPS}" != "YES" ] || settle clawdie_web reload nginx 443 $("${here}/addresses.sh" 443/tcp)
}
glasspane
remote_log
