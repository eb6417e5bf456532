# Sourced, after common.sh, by what joins the tailnet: at the first boot, and by clawdie-tailscale.
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
