# Sourced by clawdie-trial: a newer release on trial. The next boot, and that one alone, is of another boot environment
# (clawdie-environment); each of the two has its own record of the trial.
# shellcheck shell=sh disable=SC2154

# Has the next boot try another boot environment, which is whole and mounted at TREE, and with it the overlay of SLOT where
# that in force is for another release: begin_release WHAT NAME TREE [SLOT]
begin_release()
{
	local _new _old

	_new=$3/var/db/clawdie/trial
	_old=$(sh "${environment}" current)
	[ -n "${_old}" ] || refuse "the root of this instance is no boot environment of its pool"
	[ -e "$3/sbin/clawdie-trial" ] || refuse "the new boot environment is not mounted"
	begin release "$1"
	[ -z "${4-}" ] || keep_slot "$4"
	wait_for_boot "$2" "${_old}"
	# shellcheck disable=SC2174 # what is above it is there
	if ! mkdir -p -m 0700 "${_new}" || ! cp "${trial}/jails" "${trial}/tailnet" "${trial}/pending" "${_new}/" || ! fsync "${_new}/pending"; then
		cancel "the new boot environment cannot be written; nothing was changed"
	fi
	if [ -n "${4-}" ] && ! write_slot "$4"; then
		echo "the slot could not be written" > "${trial}/why"
		back
		refuse "the slot could not be written; the overlay before is in it again"
	fi
	# sync(8) waits for nothing, and a loader that finds half a root starts it: all of it is on the disk first.
	if [ "$(sh "${environment}" kind)" = "ab" ] && ! mount -u -o ro "$3"; then
		echo "the new root could not be written" > "${trial}/why"
		back
		refuse "the new root could not be written to the disk; nothing was changed"
	fi
	# This alone has another environment boot, once: all before is as if it had not been.
	if ! sh "${environment}" once "$2"; then
		echo "the next boot could not be set" > "${trial}/why"
		back
		refuse "the new boot environment could not be made the next one; nothing was changed"
	fi
}

# The boot environment before is told why.
tell_release()
{
	sh "${environment}" note "$(value new)" "$(why)"
}

# Confirmed: until this is done, the boot environment before boots.
keep_release()
{
	sh "${environment}" keep "$(value new)"
}

# Before its boot.
undo_release()
{
	sh "${environment}" never ||
	    refuse "nothing keeps the new one from its next boot: do not confirm it, and the one before comes back with the restart after"
	[ ! -e "${trial}/slot" ] || old_slot || refuse "the slot could not be written: the next boot tries it again"
}

# At a boot of either. It boots once, unless somebody has made it what boots by other means.
boot_release()
{
	case "$(value phase)" in
	new | tried) ;;
	*) return 1 ;;
	esac
	if [ "$(sh "${environment}" current)" = "$(value new)" ]; then
		if sh "${environment}" boots "$(value new)"; then
			rm -f "${root}/boot/lua/local.lua"
			mv "${trial}/pending" "${trial}/kept"
			finish kept
		elif ! try; then
			# Any restart is of the one before.
			reboot -q
			refuse "the root file system cannot be written"
		fi
		return 0
	fi
	# No loader may have used it yet.
	sh "${environment}" never > /dev/null 2>&1 || true
	[ -s "${trial}/why" ] || sh "${environment}" noted "$(value new)" > "${trial}/why"
	return 1
}

# The boot of the one before.
restore_release()
{
	[ ! -e "${trial}/slot" ] || old_slot || refuse "the slot cannot be written"
	echo "the release on trial is taken back: $(why)."
}

# For the one before, which still waits for the news, should it boot again.
finish_release()
{
	[ "$1" = "kept" ] || return 0
	sh "${environment}" note "$(value new)" "it was confirmed, and this one was chosen again later" || true
	sh "${bootcode}" later || true
}
