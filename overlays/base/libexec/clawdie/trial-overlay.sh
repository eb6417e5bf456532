# Sourced by clawdie-trial: an overlay on trial. The next boot applies it; the boot after that brings the one before back,
# which is in the trial's folder until then (clawdie-init asks).
# shellcheck shell=sh disable=SC2154

# Writes a slot, its header last: until then the header is that of the overlay in force, and a boot goes on with that:
# write_slot FILE
write_slot()
{
	{
		dd if="${slot}" bs=512 count=1 2> /dev/null
		tail -c +513 "$1"
	} | dd of="${slot}" ibs=512 obs=64k conv=notrunc 2> /dev/null &&
	    dd if="$1" of="${slot}" bs=512 count=1 conv=notrunc 2> /dev/null
}

# Whether an overlay is in the slot, whole: in_slot SUM
in_slot()
{
	[ "$(sh "${trust}" field sha256)" = "$1" ] && sh "${trust}" whole > /dev/null
}

# The slot and what is known of signers are as they were. It can be done again, and has to be if it was cut off.
old_slot()
{
	sh "${trust}" whole "${trial}/slot" > /dev/null || return 1
	write_slot "${trial}/slot" || return 1
	rm -rf "${folder}/trust.new"
	if [ -d "${trial}/trust" ]; then
		cp -Rp "${trial}/trust" "${folder}/trust.new" || return 1
	fi
	rm -rf "${folder}/trust"
	[ ! -d "${folder}/trust.new" ] || mv "${folder}/trust.new" "${folder}/trust" || return 1
	# It was in force; a key in it may have been overwritten since it was signed.
	[ ! -s "${folder}/trust/signers" ] || sh "${trust}" accept
}

# Keeps the overlay in force, which another one is to be written over, and room for it: keep_slot FILE
keep_slot()
{
	if ! dd if="${slot}" of="${trial}/slot" bs=64k 2> /dev/null || ! fsync "${trial}/slot" ||
	    ! dd if=/dev/random of="${trial}/room" bs=64k count=64 2> /dev/null || ! fsync "${trial}/room"; then
		cancel "the overlay in force cannot be kept; nothing was changed"
	fi
	if [ "$(sh "${trust}" field sha256 "${trial}/slot")" != "$(applied)" ] || ! sh "${trust}" whole "${trial}/slot" > /dev/null; then
		cancel "the slot does not hold the overlay in force, so there would be no way back; nothing was changed"
	fi
	[ "$(wc -c < "$1")" -eq "$(wc -c < "${trial}/slot")" ] ||
	    cancel "it has $(($(wc -c < "$1"))) bytes, the slot $(($(wc -c < "${trial}/slot"))); nothing was changed"
	if [ -d "${folder}/trust" ] && ! cp -Rp "${folder}/trust" "${trial}/trust"; then
		cancel "the signers of the overlay in force cannot be kept; nothing was changed"
	fi
	find "${trial}/trust" -type f -exec fsync {} + 2> /dev/null
}

# Whether the overlay in force is one, by the sum that it came with: something of it may have been overwritten since (slot.sh of the
# overlay): in_force SUM
in_force()
{
	[ "$1" = "$(applied)" ] || grep -qxF "$(applied) $1" "${folder}/overlay.came" 2> /dev/null
}

# Has the next boot try an overlay: begin_overlay WHAT FILE
begin_overlay()
{
	local _new _old _runs

	[ -e "${root}/etc/clawdie/installed" ] || refuse "this is a live image, which has no disk to go back to"
	_old=$(applied)
	_new=$(sh "${trust}" field sha256 "$2")
	_reason=$(sh "${trust}" check "$2") || refuse "it is refused: ${_reason:-it cannot be verified}"
	! in_force "${_new}" || exit 3
	# What takes it back is in this boot environment. Where the root is no pool there are none.
	_runs=$(sh "${environment}" current 2> /dev/null)
	[ -z "${_runs}" ] || sh "${environment}" boots "${_runs}" || refuse "another boot environment boots next: bectl list"
	begin overlay "$1"
	keep_slot "$2"
	wait_for_boot "${_new}" "${_old}"
	if ! write_slot "$2"; then
		echo "the slot could not be written" > "${trial}/why"
		back
		refuse "the slot could not be written; the overlay before is in it again"
	fi
}

# Before its boot.
undo_overlay()
{
	old_slot || refuse "the slot could not be written: the next boot tries it again"
}

# At a boot. Written whole, it is tried; if the power failed before, nothing was changed.
boot_overlay()
{
	if [ "$(value phase)" = "new" ]; then
		if ! in_slot "$(value new)"; then
			because "the instance was restarted before it was written"
		elif try; then
			return 0
		else
			rm -f "${trial}/room"
			because "the root file system could not be written when it was to be tried"
		fi
	fi
	return 1
}

# The boot in which it is taken back. What clawdie-init makes of the slot is seen once it is done.
restore_overlay()
{
	if ! old_slot && ! { in_slot "$(value old)" && sh "${trust}" accept; }; then
		in_slot "$(value new)" || refuse "the slot cannot be written"
		# A disk that lost what it had said it wrote. One that is whole is better than none.
		echo "what was kept of the overlay before is damaged" > "${trial}/why"
		mv "${trial}/back" "${trial}/lost"
		finish lost
		echo "the overlay before cannot come back, what was kept of it is damaged: the one that was on trial stays."
		return 0
	fi
	echo "the overlay on trial is taken back: $(why)."
}

# Once clawdie-init has done what it could. Fails where there is no trial any more.
start_overlay()
{
	! in_force "$(value new)" || return 0
	because "clawdie-init has not applied it"
	mv "${trial}/pending" "${trial}/back"
	old_slot || refuse "the slot cannot be written"
	echo "the overlay on trial was not applied: the one before stands."
	finish back
	return 1
}
