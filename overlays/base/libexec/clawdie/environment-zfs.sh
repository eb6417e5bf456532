# Sourced by clawdie-environment: boot environments of a pool. See bectl(8), zfsprops(7).
# shellcheck shell=sh

pool=clawdie
environments=${pool}/ROOT
# What one of them left to say.
property=clawdie:why

zfs_current()
{
	mount -p | awk -v "prefix=${environments}/" '
	$2 == "/" && $3 == "zfs" && index($1, prefix) == 1 { print substr($1, length(prefix) + 1) }'
}

zfs_list()
{
	zfs list -H -o name -d 1 -r "${environments}" | sed -n "s|^${environments}/||p"
}

zfs_boots()
{
	[ "$(zpool get -H -o value bootfs "${pool}")" = "${environments}/$1" ]
}

zfs_once()
{
	bectl activate -t "$1" > /dev/null
}

zfs_never()
{
	bectl activate -T > /dev/null
}

zfs_keep()
{
	bectl activate "$1" > /dev/null && zfs_boots "$1"
}

zfs_note()
{
	zfs set "${property}=$2" "${environments}/$1"
}

zfs_noted()
{
	zfs get -H -o value "${property}" "${environments}/$1" 2> /dev/null | grep -vx -e '-'
}
