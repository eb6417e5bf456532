#!/bin/sh
# Prepares the host for jails: the folders Bastille works in, and devfs rules for jails with a network stack.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

for folder in backups cache jails logs releases templates; do
	mkdir -p "${root}/usr/local/bastille/${folder}"
done
chmod 0750 "${root}/usr/local/bastille"

devfs_rules=${root}/etc/devfs.rules
touch "${devfs_rules}"

# A ruleset for /dev in jails with a network stack, unless it is there: add_ruleset NAME=NUMBER [RULE ...]
add_ruleset()
{
	if grep -qF "[$1]" "${devfs_rules}"; then
		return 0
	fi
	{
		cat "${devfs_rules}"
		echo "[$1]"
		shift
		cat <<-'RULES'
		add include $devfsrules_hide_all
		add include $devfsrules_unhide_basic
		add include $devfsrules_unhide_login
		add include $devfsrules_jail
		add include $devfsrules_jail_vnet
		add path 'bpf*' unhide
		RULES
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} | write_file "${devfs_rules}" 644
}

# Bastille's own for VNET jails, and the same with tun(4), for Tailscale.
add_ruleset bastille_vnet=13
add_ruleset clawdie_tailscale=14 "add path tun unhide" "add path 'tun*' unhide"
