# Sourced by the tools in /usr/local/sbin, after common.sh: how they end, and who may run them.
# shellcheck shell=sh

tool=${0##*/}

# One sentence for the person who reads it, and what to do about it: fail WHAT [FIX]
fail()
{
	echo "${tool}: $1" >&2
	[ -z "${2-}" ] || echo "  $2" >&2
	exit 1
}

# The command line was wrong: misused WHAT
misused()
{
	echo "${tool}: $1" >&2
	usage >&2
	exit 2
}

need_root()
{
	[ "$(id -u)" -eq 0 ] || fail "only root may do this." "Run it as root, or with doas(1)."
}

# Whether a word can be an IPv4 or IPv6 address or network: pfctl(8) says whether it is one.
is_address()
{
	case "$1" in
	*[!0-9a-fA-F.:/]* | "" | /*) return 1 ;;
	*.* | *:*) return 0 ;;
	esac
	return 1
}
