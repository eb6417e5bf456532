#!/bin/sh
# Sees to it that the firewall is what the deployment says: the interface that faces the internet is known, the rules
# load, pf is on.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

rules=${root}/etc/pf.conf

external=$(route -n get default 2>/dev/null | sed -n 's/^ *interface: //p')
if [ -n "${external}" ]; then
	say "the internet is at ${external}"
else
	say "no default route yet: nothing faces the internet"
fi

if ! pfctl -q -n -f "${rules}"; then
	say "/etc/pf.conf does not load; the rules in force stay as they are"
	exit 1
fi
pfctl -q -f "${rules}"
if ! pfctl -s info | grep -q '^Status: Enabled'; then
	pfctl -q -e
fi
pfctl -s info | grep -q '^Status: Enabled' || { say "pf is not enabled"; exit 1; }
say "pf is enabled"
