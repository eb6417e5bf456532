# Sourced by the modules of the first boot: where things are, and how they are written.
# shellcheck shell=sh disable=SC2034

set -eu

# rc(8) and cron(8) know of no programs of packages.
PATH=${PATH}:/usr/local/sbin:/usr/local/bin
export PATH

# Tests run the modules against a tree of their own.
root=${CLAWDIE_ROOT-}
config=${root}/etc/clawdie/clawdie.conf

say()
{
	echo "${0##*/}: $*"
}

# Whether a file system is mounted there: is_mounted FOLDER
is_mounted()
{
	mount -p | awk -v folder="$1" '$2 == folder { found = 1 } END { exit !found }'
}

# Puts standard input into a file in one step, and only if it differs; one that cannot be written to its end stays as it is, whether the
# caller has "set -e" in force or not: write_file PATH MODE
write_file()
{
	_path=$1
	_mode=$2
	mkdir -p "${_path%/*}" || return 1
	_new=$(mktemp "${_path}.XXXXXX") || return 1
	if ! cat > "${_new}" || ! chmod "${_mode}" "${_new}"; then
		rm -f "${_new}"
		return 1
	fi
	if [ -f "${_path}" ] && cmp -s "${_new}" "${_path}"; then
		rm -f "${_new}"
		return 0
	fi
	# UFS may write a name before what is in its file: after a power cut there would be neither the old text nor the new one.
	fsync "${_new}" 2> /dev/null || true
	mv -f "${_new}" "${_path}" || { rm -f "${_new}"; return 1; }
	say "wrote ${_path#"${root}"}"
}

# shellcheck source=/dev/null
. "${config}"
