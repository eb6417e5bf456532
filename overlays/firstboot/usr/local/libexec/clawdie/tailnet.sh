# Sourced, after common.sh and slot.sh, by what joins the tailnet or has to know of it: the first boot, clawdie-tailscale,
# clawdie-netcheck, and what brings the state of this instance back into a new overlay (state.sh).
# shellcheck shell=sh disable=SC2154

# Joins the tailnet as this host, or leaves it at what it is: join_tailnet [KEYFILE]. With TAILSCALE=subnet the net of
# the assistant's jails is offered to it.
join_tailnet()
{
	_key=${1-}
	set -- --hostname="$(hostname -s)"
	[ -z "${_key}" ] || set -- "$@" --authkey="file:${_key}" --timeout=60s
	[ "${TAILSCALE}" != "subnet" ] || set -- "$@" --advertise-routes="${AGENT_NET}"
	tailscale up "$@"
}

# The auth key of the overlay, as long as it was not used.
auth_key=${root}/var/db/clawdie/tailscale.key

# Whether there is one: what is overwritten in the slot is no key (forget_member).
has_auth_key()
{
	[ -s "${auth_key}" ] && [ "$(head -c 1 "${auth_key}")" != "#" ]
}

# A key that was used is overwritten, in the slot and then in its file, which says until then that this is to be done.
forget_auth_key()
{
	_failed=
	forget_member ./var/db/clawdie/tailscale.key || _failed=yes
	if [ -f "${auth_key}" ]; then
		head -c "$(wc -c < "${auth_key}")" /dev/zero | dd of="${auth_key}" conv=notrunc,fsync 2> /dev/null
		rm -f "${auth_key}"
	fi
	[ -z "${_failed}" ] || say "the auth key could not be overwritten in the overlay's slot: it is still there"
	[ -z "${_failed}" ]
}

# The Tailscale block of a file of rules: whether its markers stand there once and in order (whole or broken), and whether a rule
# of it is in force (on or off): block_of FILE
block_of()
{
	awk '
	/^# >>> tailscale/ { begin++; inside = 1; next }
	/^# <<< tailscale/ { if (inside) end++; inside = 0; next }
	inside && /^[^#]/ { on = 1 }
	END {
		markers = (begin == 1 && end == 1) ? "whole" : "broken"
		rules = on ? "on" : "off"
		print markers, rules
	}' "$1"
}

# That of pf.conf.
read_block()
{
	block_of "${root}/etc/pf.conf"
}

# pf.conf with the Tailscale block in force or commented out: with_block on|off
with_block()
{
	awk -v "wanted=$1" '
	/^# >>> tailscale/ { inside = 1; print; next }
	/^# <<< tailscale/ { inside = 0; print; next }
	inside && wanted == "on" { sub(/^#/, "") }
	inside && wanted == "off" && !/^#/ { $0 = "#" $0 }
	{ print }' "${root}/etc/pf.conf"
}
