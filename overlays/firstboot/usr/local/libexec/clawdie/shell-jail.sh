#!/bin/sh
# Prepares the host for jails: the folders Bastille works in, and devfs rules for jails with a network stack.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

for folder in backups cache jails logs releases templates; do
	mkdir -p "${root}/usr/local/bastille/${folder}"
done
chmod 0750 "${root}/usr/local/bastille"

# Rules for /dev in jails: those of Bastille for jails with a network stack, and the same with tun(4), for Tailscale.
devfs_rules=${root}/etc/devfs.rules
touch "${devfs_rules}"
if ! grep -q '^\[bastille_vnet=13\]' "${devfs_rules}"; then
	{
		cat "${devfs_rules}"
		cat <<-'RULES'
		[bastille_vnet=13]
		add include $devfsrules_hide_all
		add include $devfsrules_unhide_basic
		add include $devfsrules_unhide_login
		add include $devfsrules_jail
		add include $devfsrules_jail_vnet
		add path 'bpf*' unhide
		RULES
	} | write_file "${devfs_rules}" 644
fi
if ! grep -q '^\[clawdie_tailscale=14\]' "${devfs_rules}"; then
	{
		cat "${devfs_rules}"
		cat <<-'RULES'
		[clawdie_tailscale=14]
		add include $devfsrules_hide_all
		add include $devfsrules_unhide_basic
		add include $devfsrules_unhide_login
		add include $devfsrules_jail
		add include $devfsrules_jail_vnet
		add path 'bpf*' unhide
		add path tun unhide
		add path 'tun*' unhide
		RULES
	} | write_file "${devfs_rules}" 644
fi
