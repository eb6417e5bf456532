#!/bin/sh
# One command as one turn in a jail (clawdie-jail turn). The command has pipes for its standard streams and a terminal of
# its own, never the caller's; a limit of time and of output; and nothing of it is left running.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"
# shellcheck source=SCRIPTDIR/tool.sh
. "${0%/*}/tool.sh"
tool=clawdie-jail

# What fails is looked at where it fails.
set +e

usage()
{
	cat <<-'USAGE'
	usage: clawdie-jail turn JAIL [--timeout SECONDS] [--output BYTES] [--user USER] -- COMMAND [ARGUMENT ...]
	  --timeout  after which the turn is ended (default 600)
	  --output   how much of each of standard output and standard error is passed on (default 8388608)
	  --user     whom the command runs as in the jail (default worker; never root)
	Ends as COMMAND ends; with 75 if a turn is going on in that jail, with 123 if there was more output, with 124 if it took
	too long, with 125 if there was no turn. What it leaves running is ended.
	USAGE
}

# There is no turn, or there was none: refuse WHAT [FIX]
refuse()
{
	echo "${tool}: $1" >&2
	[ -z "${2-}" ] || echo "  $2" >&2
	exit 125
}

# A number that sh(1) can count with: number OPTION VALUE
number()
{
	case "$2" in
	"" | *[!0-9]* | 0* | ??????????*) misused "$1 needs a number from 1 to 999999999" ;;
	esac
}

case "${1-}" in
-h | --help)
	usage
	exit 0
	;;
esac
jail=${1-}
case "${jail}" in
"" | -* | *[!A-Za-z0-9_.-]*) misused "turn needs the name of a jail" ;;
# jexec(8) takes a number for a jail's id.
*[!0-9]*) ;;
*) misused "turn needs the name of a jail, not a number" ;;
esac
shift
seconds=600
bytes=8388608
user=worker
while [ $# -gt 0 ]; do
	case "$1" in
	--timeout)
		number "$1" "${2-}"
		seconds=$2
		shift
		;;
	--output)
		number "$1" "${2-}"
		bytes=$2
		shift
		;;
	--user)
		case "${2-}" in
		"" | -* | *[!A-Za-z0-9_-]*) misused "--user needs the name of a user" ;;
		esac
		user=$2
		shift
		;;
	--)
		shift
		break
		;;
	*) misused "\"$1\" is not understood; the command stands after --" ;;
	esac
	shift
done
[ $# -gt 0 ] || misused "there is no command"
[ "$(id -u)" -eq 0 ] || refuse "only root may do this." "The runtime's account has clawdie-turn; otherwise run it as root."

# A descriptor of the caller's, of a folder for instance, would be a way out of the jail. sh(1) can close those of one digit.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
open=$(sh -c 'procstat -f $$; :' 2> /dev/null | awk '$3 ~ /^[0-9]+$/ { print $3 }' | sort -n | tr '\n' ' ')
case "${open}" in
"0 1 2 ") ;;
"") refuse "nobody can say which descriptors are open." "See: procstat -f \$\$" ;;
*) refuse "the jail would inherit descriptors of the caller, who has these open: ${open% }." "Close them (0, 1 and 2 have to be open)." ;;
esac

folder=${root}/var/run/clawdie
(umask 077 && mkdir -p "${folder}")
exec 9> "${folder}/turn.${jail}" || refuse "${folder#"${root}"}/turn.${jail} cannot be written to."
if ! lockf -s -t 0 9; then
	echo "${tool}: a turn is going on in ${jail}, or it is copied or given a template" >&2
	exit 75
fi

if ! jls -j "${jail}" jid > /dev/null 2>&1; then
	command -v bastille > /dev/null 2>&1 || refuse "jail ${jail} does not run."
	# With a terminal of its own, too: it runs what root in the jail wants.
	script -q /dev/null bastille start "${jail}" < /dev/null > /dev/null 2>&1 9>&-
	jls -j "${jail}" jid > /dev/null 2>&1 ||
	    refuse "jail ${jail} does not run, and cannot be started." "See: bastille list"
fi

{
	work=$(mktemp -d "${folder}/work.XXXXXX") &&
	    mkfifo -m 600 "${work}/in" "${work}/out" "${work}/err" &&
	    ln -s /dev/stdout "${work}/out.a" &&
	    ln -s /dev/stdout "${work}/err.a"
} || refuse "${folder#"${root}"} cannot be written to."

# From here on the caller's streams are 6, 7 and 8: sh(1) has something to say of every child that a signal ends.
exec 6<&0 7>&1 8>&2 < /dev/null > /dev/null 2>&1

# Passes on what the command says, to so many bytes: limited out|err. split(1) writes what it reads at once, and counts it;
# its second file may have no byte, so that it ends where there is more. dd(1) says how much it was.
limited()
{
	(
		# shellcheck disable=SC3045 # sh(1) of FreeBSD has ulimit -c.
		ulimit -c 0
		ulimit -f 0
		exec split -b "${bytes}" -a 1 - "${work}/$1."
	) < "${work}/$1" | dd bs=65536 2> "${work}/$1.count"
	[ ! -e "${work}/$1.b" ] || kill -TERM "$(cat "${work}/keeper")"
	: > "${work}/$1.done"
}

# How much that was: passed out|err
passed()
{
	awk '/^[0-9]+ bytes? / { print $1; found = 1; exit } END { if (!found) print "-" }' "${work}/$1.count"
}

interrupted=
trap 'interrupted=129' HUP
trap 'interrupted=130' INT
trap 'interrupted=143' TERM
begin=$(date +%s)
cat <&6 > "${work}/in" 7>&- 8>&- 9>&- &
feeder=$!
limited out >&7 6<&- 7>&- 8>&- 9>&- &
out=$!
limited err >&8 6<&- 7>&- 8>&- 9>&- &
err=$!
# Not in the background, where the command would be deaf to an interrupt. timeout(1) is the reaper (procctl(2)) of all that
# comes of the turn, whatever sessions and users that made of itself, and ends it.
timeout -k 5 "${seconds}" sh "${0%/*}/turn-inside.sh" session "${work}" "${jail}" "${user}" "$@" \
    3< "${work}/in" 4> "${work}/out" 5> "${work}/err" 6<&- 7>&- 8>&- 9>&-
ended=$?
kill "${feeder}"

# A stream that the command has passed to somebody else in the jail does not end, and where the file system is full nothing
# is said of its end: after 5 s it is ended, and after 10 s nobody waits any longer.
left=100
until [ -e "${work}/out.done" ] && [ -e "${work}/err.done" ]; do
	[ "${left}" -gt 50 ] || pkill -KILL -P "${out},${err}"
	[ "${left}" -gt 0 ] || break
	left=$((left - 1))
	sleep 0.1
done

result=
[ ! -s "${work}/status" ] || read -r result < "${work}/status"
if [ -e "${work}/out.b" ] || [ -e "${work}/err.b" ]; then
	result=123
	echo "${tool}: there was more output than ${bytes} bytes: it was cut, and the turn ended" >&8
elif [ -n "${result}" ]; then
	:
elif [ -n "${interrupted}" ]; then
	result=${interrupted}
elif [ "${ended}" -eq 124 ]; then
	result=124
	echo "${tool}: the turn took longer than ${seconds} s and was ended" >&8
else
	result=125
	echo "${tool}: the turn broke off" >&8
fi

# Of the command its name alone: arguments may be secrets.
program=$(printf '%s' "${1##*/}" | LC_ALL=C tr -cd '[:alnum:]._+-' | head -c 64)
logger -t clawdie-turn -p auth.info -- "${CLAWDIE_ACCOUNT:-root} ${jail} ${user}: ${program:-?}," \
    "$(($(date +%s) - begin)) s, exit ${result}, out $(passed out), err $(passed err) bytes"
rm -rf "${work}"
exit "${result}"
