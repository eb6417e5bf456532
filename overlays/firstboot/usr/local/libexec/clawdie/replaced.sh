# Sourced, after common.sh, tailnet.sh, state.sh and trial.sh, by clawdie-update: what somebody has changed here of the overlay in
# force, which another one replaces.
# shellcheck shell=sh disable=SC2154

# Whether two files, or links, are the same: same FILE FILE
same()
{
	if [ -L "$1" ] || [ -L "$2" ]; then
		[ "$(readlink "$1")" = "$(readlink "$2")" ]
	else
		cmp -s "$1" "$2"
	fi
}

# Gives the files of an unpacked overlay what they have here by the state of this instance, as a boot does (state-back.sh): with_state FOLDER
with_state()
{
	_states=$1/var/db/clawdie/state
	mkdir -p "${_states}"
	read_state tenants > "${_states}/tenants"
	read_state tailnet > "${_states}/tailnet"
	# A boot learns both from the files here.
	[ "$(read_block 2> /dev/null)" != "whole on" ] || echo on > "${_states}/tailnet"
	if grep -qxF "${rc_mark}" "${root}/etc/rc.conf"; then
		own_settings "$1/etc/rc.conf" < "${root}/etc/rc.conf" > "${_states}/rc.conf"
	else
		read_state rc.conf > "${_states}/rc.conf"
	fi
	CLAWDIE_ROOT=$1 sh "${root}/usr/local/libexec/clawdie/state-back.sh" > /dev/null 2>&1 || true
}

# Files of the unpacked overlay OLD that were changed here, and that NEW brings in another form or not at all; those that are gone
# here come back: replaced OLD NEW
replaced()
{
	with_state "$1"
	while read -r _name; do
		[ -e "${root}${_name}" ] || [ -L "${root}${_name}" ] || continue
		! same "${root}${_name}" "$1${_name}" || continue
		# What sysrc(8) and a boot append to it has no order.
		[ "${_name}" != "/etc/rc.conf" ] || [ "$(sort "${root}${_name}")" != "$(sort "$1${_name}")" ] || continue
		if ! grep -qxF "${_name}" "$2.list"; then
			echo "changed here, and removed: ${_name}"
		elif ! same "${root}${_name}" "$2${_name}"; then
			echo "changed here, and replaced: ${_name}"
		fi
	done < "$1.list"
}
