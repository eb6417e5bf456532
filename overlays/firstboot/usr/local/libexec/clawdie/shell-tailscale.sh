#!/bin/sh
# Acts on TAILSCALE. The rules for the tailnet stay commented out until somebody has confirmed that they do not lock
# him out: joining the tailnet and closing the public SSH port (clawdie-tailscale enable) are two steps. With --pending it does
# nothing, and ends with 0 where the host is still to join.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"
# shellcheck source=SCRIPTDIR/slot.sh
. "${0%/*}/slot.sh"
# shellcheck source=SCRIPTDIR/tailnet.sh
. "${0%/*}/tailnet.sh"

if [ "${1-}" = "--pending" ]; then
	case "${TAILSCALE}" in
	off | jail) exit 1 ;;
	esac
	has_auth_key
	exit
fi
case "${TAILSCALE}" in
off) exit 0 ;;
jail)
	say "jails are nodes of their own; the host stays out of the tailnet"
	exit 0
	;;
esac

if ! command -v tailscale > /dev/null 2>&1; then
	say "tailscale is not installed; put it into PACKAGES"
	exit 0
fi
service tailscaled onestatus > /dev/null 2>&1 || service tailscaled onestart
if ! has_auth_key; then
	rm -f "${auth_key}"
	say "there is no auth key: run tailscale up by hand"
	exit 0
fi
join_tailnet "${auth_key}"
say "joined the tailnet"
forget_auth_key
