#!/bin/sh
# What the runtime looks up: the bridge, net and gateway of every tenant. The bridge is always warden<n>, whatever
# the assistant is called.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

quote()
{
	printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

{
	echo "# Written by ${0##*/} from /etc/clawdie/clawdie.conf."
	count=0
	for tenant in ${TENANTS}; do
		# name:bridge:net:gateway
		name=${tenant%%:*}
		rest=${tenant#*:}
		bridge=${rest%%:*}
		rest=${rest#*:}
		net=${rest%%:*}
		gateway=${rest#*:}
		if [ "${count}" -eq 0 ]; then
			prefix=WARDEN
		else
			prefix=WARDEN${count}
		fi
		echo "${prefix}_NAME=$(quote "${name}")"
		echo "${prefix}_BRIDGE=$(quote "${bridge}")"
		echo "${prefix}_NET=$(quote "${net}")"
		echo "${prefix}_GATEWAY=$(quote "${gateway}")"
		count=$((count + 1))
	done
	echo "WARDEN_TENANTS=${count}"
	echo "WARDEN_LOOPBACK=$(quote "${LOOPBACK}")"
	echo "ASSISTANT_NAME=$(quote "${ASSISTANT_NAME}")"
} | write_file "${root}/etc/clawdie/warden.env" 644
