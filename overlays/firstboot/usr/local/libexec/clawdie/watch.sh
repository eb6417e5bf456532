# Sourced, after jails.sh and checks.sh, by what looks at what wears off while an instance runs: clawdie-status, clawdie-netcheck.
# shellcheck shell=sh disable=SC2154,SC2034

# Days after which a release is called old, and before whose end a certificate is to have been renewed.
release_days=180
certificate_days=14

# When the newest file of this release was made, in seconds since 1970; nothing where the image does not say.
released()
{
	cat "${root}/etc/clawdie/released" 2> /dev/null
}

check_release()
{
	_released=$(released)
	case "${_released}" in
	'' | *[!0-9]*)
		found services release none "the image does not say how old its release is"
		return
		;;
	esac
	_days=$((($(date +%s) - _released) / 86400))
	if [ "${_days}" -ge "${release_days}" ]; then
		found services release fail "FreeBSD $(freebsd-version -u 2> /dev/null) is ${_days} days old: docs/operations.md, day 300"
	else
		found services release ok "FreeBSD $(freebsd-version -u 2> /dev/null) is ${_days} days old"
	fi
}

# The base of thin jails is a folder of the host's, which fstab of the host's names. What a jail has of its own is not asked.
check_bases()
{
	for _fstab in "${jails_folder}"/*/fstab; do
		[ -f "${_fstab}" ] || continue
		_jail=${_fstab%/fstab}
		_jail=${_jail##*/}
		_base=$(awk '$2 ~ /\/\.bastille$/ { print $1; exit }' "${_fstab}")
		# After another version the name of before is a link (configure_new of release.sh), to one that may be a link by now.
		[ ! -L "${root}${_base}" ] || _base=$(readlink -f "${root}${_base}")
		_base=${_base##*/}
		if [ -z "${_base}" ]; then
			found services "${_jail}-base" none "${_jail} has a base of its own, which is not looked at: bastille update ${_jail}"
		elif [ "${_base}" != "${JAIL_RELEASE}" ]; then
			found services "${_jail}-base" fail "${_jail} is made of ${_base}, the host of ${JAIL_RELEASE}: make it anew, or bastille upgrade"
		fi
	done
}

# Jails that socket-guard or memory-guard has ended.
check_ended()
{
	for _ended in "${root}"/var/run/clawdie/ended.*; do
		_jail=${_ended##*/ended.}
		[ -f "${_ended}" ] || continue
		read -r _when _why < "${_ended}"
		_when=$(date -j -r "${_when}" "+%F %T")
		found services "${_jail}-ended" fail "${_jail} ${_why}, and lost its processes at ${_when}: bastille restart ${_jail}"
	done
}

check_time()
{
	if [ "${TIME}" != "YES" ]; then
		found services time none "nobody sets the clock (NTP is \"off\")"
	elif ! service ntpd onestatus > /dev/null 2>&1; then
		found services time fail "ntpd does not run: service ntpd start"
	else
		_server=$(ntpq -pn 2> /dev/null | sed -n 's/^[*o]\([^ ]*\).*/\1/p' | head -1)
		if [ -n "${_server}" ]; then
			found services time ok "the clock follows ${_server}"
		else
			found services time none "ntpd runs, and follows nobody yet; see: ntpq -pn"
		fi
	fi
}

check_logs()
{
	service syslogd onestatus > /dev/null 2>&1 || found services syslogd fail "nothing is logged: service syslogd start"
	service cron onestatus > /dev/null 2>&1 || found services cron fail "nothing is done by itself: service cron start"
}

# Sets room: kilobytes of the root file system, used and free. Where the root is a pool, its health as well.
check_room()
{
	room=$(df -k "${root}/" | awk 'NR == 2 { print $2, $3, $4 }')
	_share=$(echo "${room}" | awk '{ all = $2 + $3; print all ? int(100 * $2 / all) : 0 }')
	if [ "${_share}" -ge 90 ]; then
		found host disk fail "the root file system is ${_share}% full: see du -xh -d 2 /var /usr/local"
	fi
	_share=$(df -i "${root}/" | awk 'NR == 2 { all = $6 + $7; print all ? int(100 * $6 / all) : 0 }')
	if [ "${_share:-0}" -ge 90 ]; then
		found host files fail "the root file system has room for few files more, ${_share}% are taken: see find -x /var /usr/local"
	fi
	# Jails, homes and logs, where there are two roots.
	if is_mounted /data; then
		_share=$(df -k "${root}/data" | awk 'NR == 2 { all = $3 + $4; print all ? int(100 * $3 / all) : 0 }')
		[ "${_share:-0}" -lt 90 ] || found host data fail "the file system of /data is ${_share}% full: see du -xh -d 2 /data"
	fi
	if [ "$(root_kind)" = "zfs" ] && ! zpool status -x clawdie 2> /dev/null | grep -q 'is healthy'; then
		found host pool fail "the pool is not well: zpool status -v clawdie"
	fi
}

# Sets certificate: until when that of HTTPS is good, in seconds since 1970; nothing where there is none.
check_certificate()
{
	certificate=
	_file=${root}/usr/local/etc/clawdie/tls/cert.pem
	if [ "${HTTPS}" != "YES" ] || [ ! -f "${_file}" ]; then
		return
	fi
	_end=$(openssl x509 -noout -enddate -dateopt iso_8601 -in "${_file}" 2> /dev/null | sed 's/^notAfter=//; s/Z$//')
	certificate=$(seconds_of "%Y-%m-%d %H:%M:%S" "${_end}")
	if [ -z "${certificate}" ]; then
		found services certificate fail "cert.pem in /usr/local/etc/clawdie/tls is no certificate"
	elif [ $((certificate - $(date +%s))) -lt $((certificate_days * 86400)) ]; then
		found services certificate fail "the certificate of HTTPS is good until ${_end} alone: renew it, then service clawdie_web reload"
	fi
}

# Seconds since 1970 of a time in UTC: seconds_of FORMAT TIME
seconds_of()
{
	date -j -u -f "$1" "$2" +%s 2> /dev/null
}

# Sets lease: until when the address of what faces the internet is leased, likewise; nothing where it is none of DHCP.
check_lease()
{
	lease=
	_leases=$(route -n get default 2> /dev/null | sed -n 's/^ *interface: //p')
	_leases=${root}/var/db/dhclient.leases.${_leases:-none}
	if [ "${WAN_IPV4-dhcp}" != "dhcp" ] || [ ! -f "${_leases}" ]; then
		return
	fi
	# dhclient.leases(5): "expire 3 2026/01/07 10:00:00;", in UTC; the last counts.
	_end=$(sed -n 's/^ *expire [0-6] \(.*\);$/\1/p' "${_leases}" | tail -n 1)
	lease=$(seconds_of "%Y/%m/%d %H:%M:%S" "${_end}")
	if [ -n "${lease}" ] && [ "${lease}" -lt "$(date +%s)" ]; then
		found host lease fail "the lease of the address has ended, and was not renewed: /etc/rc.d/clawdie_egress ask"
	fi
}
