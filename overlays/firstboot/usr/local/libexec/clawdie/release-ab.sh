# Sourced by clawdie-update where there are two roots, "a" and "b", each a partition of UFS: the newer release goes to the one
# that does not run, whatever is there. See clawdie-environment; gptboot(8).
# shellcheck shell=sh disable=SC2154

called="the root"
look="df"
choose="See: clawdie-trial status; gpart show -l; a restart has the other one run."
# Without these it boots nothing.
boot_files="boot/loader.efi libexec/clawdie/environment-ab.sh"
# Where both roots have room.
work_at=${root}/data

partition_of()
{
	case "$1" in
	a) echo "${root}/dev/gpt/clawdie-root" ;;
	b) echo "${root}/dev/gpt/clawdie-root-b" ;;
	esac
}

root_name()
{
	cat "${root}/var/db/clawdie/root.name" 2> /dev/null || true
}

# name_root ROOT
name_root()
{
	echo "$1" > "${places}/new/var/db/clawdie/root.name" || fail "the root ${environment_new} cannot be written. ${unchanged}"
}

# environment_name CURRENT ROOT sets environment_new
environment_name()
{
	case "$1" in
	a) environment_new=b ;;
	*) environment_new=a ;;
	esac
}

# Whether it is known what of a root is its release's: has_base NAME
has_base()
{
	[ -s "${root}/var/db/clawdie/base.mtree.gz" ]
}

mark_base()
{
	sh "${environment}" mark "${places}/new"
}

# The other root, emptied and mounted: new_environment CURRENT NAME
new_environment()
{
	_partition=$(partition_of "$2")
	_room=$(diskinfo "${_partition}" | awk '{ print int($3 / 1024) }')
	_needed=$(df -k "${root}/" | awk 'NR == 2 { print int($3 * 1.2) + 65536 }')
	[ "${_room}" -gt "${_needed}" ] ||
	    fail "the root $2 has $((_room / 1024)) MB, and this takes $((_needed / 1024)). Nothing was changed."
	_free=$(df -k "${work_at}" | awk 'NR == 2 { print $4 }')
	_needed=$((8 * $(wc -c < "${work}/root") / 1024))
	[ "${_free}" -gt "${_needed}" ] ||
	    fail "/data has $((_free / 1024)) MB, and this takes $((_needed / 1024)) while it is made. Nothing was changed."
	# From here on it boots by no means, until it is whole.
	sh "${environment}" never || fail "the partition table cannot be changed. Nothing was changed." "See: gpart show -l"
	sh "${environment}" note "$2" "" || fail "/data cannot be written. Nothing was changed." "See: mount; dmesg(8)"
	echo "Making the root $2 ..."
	[ ! -L "${places}/old" ] || rm -f "${places}/old"
	mkdir -p "${places}/image" "${places}/new"
	unchanged="The root $2, which did not run, is empty; nothing else was changed."
	newfs -U -j -L "clawdieroot$2" "${_partition}" > "${work}/newfs" 2>&1 ||
	    fail "the root $2 cannot be made. ${unchanged}" "$(tail -n 1 "${work}/newfs")"
	release_new=$2
	mount "${_partition}" "${places}/new" || fail "the root $2 cannot be mounted. ${unchanged}" "See: dmesg(8)"
}

# The root that runs, as it is now, and what was changed in it: find_changes CURRENT
find_changes()
{
	rmdir "${places}/old" 2> /dev/null || true
	ln -s "${root}/" "${places}/old" && sh "${environment}" changes "${places}/old/" > "${work}/changes"
}

# What kernel and loader are told, and where file systems are mounted: configure_root OLD NEW
configure_root()
{
	_from=$(partition_of "$1")
	_from=${_from#"${root}"}
	_to=$(partition_of "$2")
	_to=${_to#"${root}"}
	awk -v "from=${_from}" -v "to=${_to}" '
	$1 == from && $2 == "/" { sub(/^[^ \t]+/, to); found = 1 }
	{ print }
	END { exit !found }' "${places}/old/etc/fstab" > "${places}/new/etc/fstab" &&
	    sed "s|\"ufs:${_from}\"|\"ufs:${_to}\"|" "${places}/old/boot/loader.conf.local" > "${places}/new/boot/loader.conf.local" &&
	    grep -qF "\"ufs:${_to}\"" "${places}/new/boot/loader.conf.local" || return 1
	chmod 0644 "${places}/new/etc/fstab" "${places}/new/boot/loader.conf.local"
	awk '$1 !~ /^#/ && $2 ~ /^\/./ { print $2 }' "${places}/new/etc/fstab" | while read -r _point; do
		mkdir -p "${places}/new${_point}" || return 1
	done
}

# The other root has no attributes: nothing boots it.
drop_environment()
{
	[ ! -L "${places}/old" ] || rm -f "${places}/old"
}
