# Sourced, after common.sh, by what forgets a secret of the overlay: its copy in the slot is overwritten.
# shellcheck shell=sh disable=SC2154

# The first sector of a slot: lines of text (see clawdie-init).
slot_header()
{
	dd if="$1" bs=512 count=1 2> /dev/null | LC_ALL=C tr -d '\000'
}

# SHA-256 of the archive of so many bytes in a slot: slot_sum SLOT LENGTH
slot_sum()
{
	dd if="$1" bs=512 skip=1 count=$((($2 + 511) / 512)) 2> /dev/null | head -c "$2" | sha256 -q
}

# Where a file is in the archive of a slot, tar(5): its first sector, and its bytes: slot_member SLOT LENGTH NAME
slot_member()
{
	_at=1
	while [ $(((_at - 1) * 512)) -lt "$2" ]; do
		_name=$(dd if="$1" bs=512 skip="${_at}" count=1 2> /dev/null | head -c 100 | LC_ALL=C tr -d '\000')
		_size=$(dd if="$1" bs=512 skip="${_at}" count=1 2> /dev/null | head -c 135 | tail -c 11 | LC_ALL=C tr -d ' \000')
		case "${_size}" in
		"" | *[!0-7]*) return 1 ;;
		esac
		_size=$((0${_size}))
		if [ "${_name}" = "$3" ]; then
			echo "$((_at + 1)) ${_size}"
			return 0
		fi
		_at=$((_at + 1 + (_size + 511) / 512))
	done
	return 1
}

# The sum that the overlay in force came with, by which those know it who made it. Since something of it was overwritten it has another
# one, and this file both.
came_with()
{
	_sums=${root}/var/db/clawdie/overlay.came
	_now=
	read -r _now 2> /dev/null < "${root}/etc/clawdie/applied" || true
	_came=$(sed -n "s/^${_now:-none} //p" "${_sums}" 2> /dev/null) || true
	[ -n "${_came}" ] || _came=${_now}
	echo "${_came}"
}

# Overwrites a file of the overlay in the slot with as many "#": forget_member NAME. The header and /etc/clawdie/applied get
# the new sum, in an order that a power cut cannot hurt: the contents, for which nobody looks while the header has the sum
# that was applied; then "applied", beside which clawdie-init takes the slot for damaged and leaves things as they are; then the
# header, with one sector. Once more does what is left to do. An overlay that waits for the next boot is not touched.
forget_member()
{
	_applied=${root}/etc/clawdie/applied
	read -r _known < "${_applied}" || return 1
	_slots="${root}/dev/md[0-9]*"
	[ ! -e "${root}/etc/clawdie/installed" ] || _slots=${root}/dev/gpt/clawdie-slot
	for _slot in ${_slots}; do
		[ "$(slot_header "${_slot}" | head -n 1)" = "clawdie-overlay 1" ] || continue
		_length=$(slot_header "${_slot}" | sed -n 's/^length \([0-9]\{1,9\}\)$/\1/p')
		_sum=$(slot_header "${_slot}" | sed -n 's/^sha256 \([0-9a-f]*\)$/\1/p')
		[ -n "${_length}" ] || continue
		[ "${_sum}" = "${_known}" ] || [ "$(slot_sum "${_slot}" "${_length}")" = "${_known}" ] || continue
		_place=$(slot_member "${_slot}" "${_length}" "$1") || return 0
		_size=${_place#* }
		{
			head -c "${_size}" /dev/zero | tr '\000' '#'
			head -c $(((512 - _size % 512) % 512)) /dev/zero
		} | dd of="${_slot}" ibs=512 obs=512 seek="${_place% *}" conv=notrunc 2> /dev/null || return 1
		_new=$(slot_sum "${_slot}" "${_length}")
		[ "${#_new}" -eq 64 ] || return 1
		# Not what a secret has to wait for.
		{ echo "${_new} $(came_with)" > "${root}/var/db/clawdie/overlay.new" && mv -f "${root}/var/db/clawdie/overlay.new" "${root}/var/db/clawdie/overlay.came"; } || true
		echo "${_new}" | dd of="${_applied}" conv=notrunc,fsync 2> /dev/null || return 1
		slot_header "${_slot}" | sed "s/^sha256 .*/sha256 ${_new}/" |
		    dd of="${_slot}" ibs=512 obs=512 conv=sync,notrunc 2> /dev/null || return 1
		return 0
	done
}
