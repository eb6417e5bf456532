# Sourced, after common.sh, by what joins the tailnet or has to know of it: the first boot, clawdie-tailscale,
# clawdie-netcheck.
# shellcheck shell=sh

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

# The Tailscale block of pf.conf: whether its markers stand there once and in order (whole or broken), and whether a rule
# of it is in force (on or off).
read_block()
{
	awk '
	/^# >>> tailscale/ { begin++; inside = 1; next }
	/^# <<< tailscale/ { if (inside) end++; inside = 0; next }
	inside && /^[^#]/ { on = 1 }
	END {
		markers = (begin == 1 && end == 1) ? "whole" : "broken"
		rules = on ? "on" : "off"
		print markers, rules
	}' "${root}/etc/pf.conf"
}
