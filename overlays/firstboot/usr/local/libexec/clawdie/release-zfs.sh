# Sourced by release.sh where the root is a pool: boot environments are its datasets. See bectl(8), zfs(8).
# shellcheck shell=sh disable=SC2154

environments=clawdie/ROOT
# Those that are made here have this, so that no others are removed.
made=clawdie:made
# What one is called, where to look when there is no room, and how another one is chosen.
called="the boot environment"
look="zpool list"
choose="Choose first: bectl list, bectl activate NAME, reboot."
# Without these it boots no pool.
boot_files=boot/kernel/zfs.ko
# The usual place.
work_at=
release_snapshot=

# What its root is called, by its release and sum: root_name CURRENT
root_name()
{
	echo "$1"
}

name_root()
{
	:
}

# What a new one is called: environment_name CURRENT ROOT sets environment_new
environment_name()
{
	environment_new=$2
}

# Whether it is known what of an environment is its release's: has_base NAME
has_base()
{
	zfs list -H -o name "${environments}/$1@base" > /dev/null 2>&1
}

# What is in the new environment now is of its release, all else will be somebody's own: mark_base NAME
mark_base()
{
	zfs snapshot "${environments}/$1@base"
}

# Boot environments that were installed, or made here, but the one that runs, and those that others were made of (bectl create),
# which zfs(8) does not remove: earlier CURRENT
earlier()
{
	sh "${environment}" list | while read -r _each; do
		if [ "${_each}" = "$1" ] || zfs list -H -t snapshot -o clones -d 1 "${environments}/${_each}" | grep -qv '^-*$'; then
			continue
		fi
		if [ "$(zfs get -H -o value "${made}" "${environments}/${_each}")" = "yes" ] ||
		    zfs list -H -o name "${environments}/${_each}@base" > /dev/null 2>&1; then
			echo "${_each}"
		fi
	done
}

# The new environment, empty and mounted: new_environment CURRENT NAME
new_environment()
{
	earlier "$1" > "${work}/earlier"
	_free=$(zfs get -Hp -o value available "${environments}")
	while read -r _other; do
		_free=$((_free + $(zfs get -Hp -o value used "${environments}/${_other}")))
	done < "${work}/earlier"
	_needed=$(($(zfs get -Hp -o value referenced "${environments}/$1") + 4 * $(wc -c < "${work}/root")))
	[ "${_free}" -gt "${_needed}" ] ||
	    fail "the pool has $((_free / 1048576)) MB, and this takes $((_needed / 1048576)). Nothing was changed."
	# The one before and the new one are kept: there is no way back behind those. What somebody else has made stays.
	while read -r _other; do
		zfs destroy -r "${environments}/${_other}" || fail "the boot environment ${_other} cannot be removed." "See: bectl list"
		unchanged="The boot environment ${_other} is gone; nothing else was changed."
	done < "${work}/earlier"
	echo "Making the boot environment $2 ..."
	mkdir -p "${places}/image" "${places}/old" "${places}/new"
	zfs create -o mountpoint=/ -o canmount=noauto -o "${made}=yes" "${environments}/$2" ||
	    fail "the boot environment cannot be made. ${unchanged}" "See: zpool status"
	release_new=$2
	mount -t zfs "${environments}/$2" "${places}/new" ||
	    fail "the boot environment cannot be mounted. ${unchanged}" "See: zpool status"
}

# The environment that runs, as it is now, and what was changed in it: find_changes CURRENT
find_changes()
{
	release_snapshot=${environments}/$1@carried
	zfs destroy "${release_snapshot}" 2> /dev/null || true
	zfs snapshot "${release_snapshot}" && mount -t zfs "${release_snapshot}" "${places}/old" &&
	    zfs diff -FH "${environments}/$1@base" "${release_snapshot}" > "${work}/changes"
}

# What the loader is told: configure_root OLD NEW
configure_root()
{
	sed "s|\"zfs:${environments}/$1\"|\"zfs:${environments}/$2\"|" "${places}/old/boot/loader.conf.local" > "${places}/new/boot/loader.conf.local" &&
	    grep -qF "zfs:${environments}/$2\"" "${places}/new/boot/loader.conf.local"
}

# What was made for this, unless the new environment is whole.
drop_environment()
{
	[ -z "${release_snapshot}" ] || zfs destroy "${release_snapshot}" 2> /dev/null || true
	[ -z "${release_new}" ] || zfs destroy -r "${environments}/${release_new}" 2> /dev/null || true
}
