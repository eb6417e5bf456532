# Sourced by clawdie-environment and clawdie-bootcode: a disk has a cache, which loses with the power, in any order, what was written
# since it was last emptied. What starts the instance lies outside of the root, and nobody else has the cache emptied for that.
# shellcheck shell=sh disable=SC2154

# All that was written before is on the disk. A new name is in the journal (UFS; debug.softdep.flushcache, which clawdie-init sets) or
# in the intent log of the pool before fsync(1) returns, and for either the disk empties its cache.
empty_cache()
{
	local _new

	_new=${root}/var/db/clawdie/flush.$$
	true > "${_new}" && fsync "${_new}" && rm -f "${_new}"
}

# Has gpart(8) change the table of a disk. It writes both copies at once, each by two writes (g_part_gpt_write()), so that a cache
# could leave half of both. A virtio disk is told to write through meanwhile (writecache_mode in virtio_blk.c); another one goes on
# as it is: change_table DISK WORD ...
change_table()
{
	local _before _code _disk _mode

	_disk=$1
	shift
	_mode=
	_before=
	case "${_disk}" in
	vtbd[0-9] | vtbd[0-9][0-9])
		_mode=dev.vtblk.${_disk#vtbd}.writecache_mode
		_before=$(sysctl -n "${_mode}" 2> /dev/null) || _before=
		;;
	esac
	# What the table tells of is on the disk before it does.
	empty_cache || true
	[ "${_before:-0}" = "0" ] || sysctl -q "${_mode}=0" > /dev/null 2>&1 || true
	_code=0
	gpart "$@" "${_disk}" > /dev/null || _code=$?
	[ "${_before:-0}" = "0" ] || sysctl -q "${_mode}=${_before}" > /dev/null 2>&1 || true
	empty_cache || true
	return "${_code}"
}
