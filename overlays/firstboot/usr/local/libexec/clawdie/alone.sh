# Sourced by what devd(8) runs, of whose events root in a VNET jail can send as many as it likes: renamed interfaces, and addresses, of
# jails come to the host's devd too (sys/net/if.c, sys/net/route.c).
# shellcheck shell=sh

# One process does what was asked for, however many ask. Each has left a mark in the folder, and goes where another is at work; who is
# looks again when it has let go. PROGRAM takes a mark away before it does what that stands for: alone FOLDER PROGRAM [ARGUMENT ...]
alone()
{
	_folder=$1
	shift
	while [ -n "$(ls "${_folder}")" ]; do
		lockf -s -k -t 0 "${_folder}.lock" "$@" || return 0
	done
}

# Leaves a mark: ask FOLDER NAME
ask()
{
	[ -d "$1" ] || (umask 077 && mkdir -p "$1")
	: > "$1/$2"
}
