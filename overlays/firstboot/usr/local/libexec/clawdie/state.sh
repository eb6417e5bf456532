# Sourced, after common.sh and tailnet.sh, by all that changes or brings back what belongs to this instance and not to its
# overlay. An overlay replaces /etc/pf.conf, /etc/rc.conf and /etc/clawdie/clawdie.conf; what was decided here is in
# /var/db/clawdie/state, and goes into the new files before the first packet (state-back.sh).
#
#     tailnet           "on" or "off": whether the Tailscale block of pf.conf is in force
#     tenants           tenants that were added here, a line each: name:bridge:net:gateway
#     rc.conf           settings that sysrc(8) made here, of what the overlay does not set
#     rc.conf.rendered  rc.conf as the overlay in force brought it
#     bruteforce        hosts that were shut out when the instance was shut down (rc.d/clawdie_bans)
# shellcheck shell=sh disable=SC2154

states=${root}/var/db/clawdie/state

# Standard input becomes a part of the state: write_state NAME
write_state()
{
	mkdir -p -m 0700 "${states}"
	write_file "${states}/$1" 600 > /dev/null
}

# A part of the state; nothing where there is none: read_state NAME
read_state()
{
	cat "${states}/$1" 2> /dev/null || true
}

# add_state NAME LINE
add_state()
{
	{
		read_state "$1" | grep -vxF "$2" || true
		echo "$2"
	} | write_state "$1"
}

# drop_state NAME LINE
drop_state()
{
	{ read_state "$1" | grep -vxF "$2" || true; } | write_state "$1"
}

# ---- The tailnet. What is closed wins: where pf.conf and the state differ, the block is in force. 3 where there is none.
restore_tailnet()
{
	case "$(read_block)" in
	"whole on")
		[ "$(read_state tailnet)" = "on" ] || echo on | write_state tailnet
		;;
	"whole off")
		[ "$(read_state tailnet)" = "on" ] || return 0
		with_block on | write_file "${root}/etc/pf.conf" 600 > /dev/null
		say "SSH stays with the tailnet alone: the rules for it are in force in /etc/pf.conf"
		;;
	*)
		[ "$(read_state tailnet)" = "on" ] || return 0
		say "this instance is reached over the tailnet alone, and /etc/pf.conf has no Tailscale block for that"
		return 3
		;;
	esac
}

# ---- Tenants.

# Gives tenants that were added here their places in clawdie.conf and rc.conf. What the overlay says of a name or a
# bridge stands.
restore_tenants()
{
	for _entry in $(read_state tenants); do
		_name=${_entry%%:*}
		_place=${_entry#*:}
		_bridge=${_place%%:*}
		case " ${TENANTS} " in
		*" ${_entry} "*)
			continue
			;;
		*" ${_name}:"*)
			say "the tenant ${_name} is the overlay's now, in another place than it had here (${_bridge})"
			continue
			;;
		*":${_bridge}:"*)
			say "the tenant ${_name} was added here on ${_bridge}, which the overlay gives to another one: it stays out"
			continue
			;;
		esac
		case " ${BRIDGES} " in
		*" ${_place} "*) ;;
		*)
			say "the tenant ${_name} was added here on ${_place}, for which the overlay has no rules: it stays out"
			continue
			;;
		esac
		TENANTS="${TENANTS} ${_entry}"
		sed "s|^TENANTS=.*|TENANTS='${TENANTS}'|" "${config}" | write_file "${config}" 644 > /dev/null
		with_bridge "${_bridge}" "${_place##*:}" | write_file "${root}/etc/rc.conf" 644 > /dev/null
		say "the tenant ${_name} is there as before, on ${_bridge}"
	done
}

# rc.conf with the bridge of a tenant: with_bridge BRIDGE GATEWAY
with_bridge()
{
	awk -v "bridge=$1" -v "gateway=$2" '
	function set(name, value) { print name "=\"" value "\"" }
	BEGIN { clone = "bridge" substr(bridge, 7) }
	/^cloned_interfaces=/ {
		sub(/^cloned_interfaces=/, "")
		gsub(/["\047]/, "")
		if (index(" " $0 " ", " " clone " ") == 0) $0 = $0 " " clone
		set("cloned_interfaces", $0)
		next
	}
	index($0, "ifconfig_" clone "_name=") == 1 || index($0, "ifconfig_" bridge "=") == 1 { next }
	index($0, "ifconfig_" bridge "_ipv6=") == 1 { next }
	{ print }
	END {
		set("ifconfig_" clone "_name", bridge)
		set("ifconfig_" bridge, "inet " gateway "/24 group wardens up")
		set("ifconfig_" bridge "_ipv6", "inet6 ifdisabled")
	}' "${root}/etc/rc.conf"
}

# ---- Settings of sysrc(8): what rc.conf has beyond what the overlay brought. What the overlay sets is the overlay's.
# sysrc appends to rc.conf; the mark says that this rc.conf has been given what was set here.
rc_mark='# Below: settings that sysrc(8) made on this instance. They outlive the next overlay, where that does not set them.'

keep_settings()
{
	_file=${root}/etc/rc.conf
	if grep -qxF "${rc_mark}" "${_file}"; then
		own_settings "${states}/rc.conf.rendered" < "${_file}" | write_state rc.conf
		return 0
	fi
	write_state rc.conf.rendered < "${_file}"
	# What the overlay sets by now is its own again.
	read_state rc.conf | own_settings "${states}/rc.conf.rendered" > "${states}/rc.conf.new"
	{
		cat "${states}/rc.conf.rendered"
		echo "${rc_mark}"
		cat "${states}/rc.conf.new"
	} | write_file "${_file}" 644 > /dev/null
	mv -f "${states}/rc.conf.new" "${states}/rc.conf"
}

# Of the lines of standard input those that set, as sysrc(8) writes it, what a file does not: own_settings FILE
own_settings()
{
	awk -v "rendered=$1" '
	BEGIN {
		while ((getline line < rendered) > 0)
			if (match(line, /^[A-Za-z_][A-Za-z0-9_]*=/)) taken[substr(line, 1, RLENGTH - 1)] = 1
	}
	match($0, /^[A-Za-z_][A-Za-z0-9_]*="[^"`$\\]*"$/) {
		name = $0
		sub(/=.*/, "", name)
		if (name in taken || name ~ /^ifconfig_(bridge|warden)[0-9]+(_name|_ipv6)?$/) next
		print
	}'
}
