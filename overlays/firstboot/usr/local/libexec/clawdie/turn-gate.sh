#!/bin/sh
# What sshd(8) runs for the key of a tenant's account, whatever the account asks for: one turn in a jail of that tenant,
# and nothing else: turn-gate.sh ACCOUNT. The request is a line of words,
#
#     turn JAIL SECONDS BYTES WORD ...
#
# where each WORD is an argument of the command in base64, or "-" for an empty one. Nothing of it is evaluated.
set -fu
PATH=/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin
LC_ALL=C
export PATH LC_ALL
# Tests run this against a tree of their own.
root=${CLAWDIE_ROOT-}
# shellcheck source=SCRIPTDIR/jails.sh
. "${0%/*}/jails.sh"

account=$1
request=${SSH_ORIGINAL_COMMAND-}

refuse()
{
	echo "clawdie-turn: $1" >&2
	logger -t clawdie-turn -p auth.notice -- "${account}: refused: $1"
	exit 125
}

[ "${#request}" -le 98304 ] || refuse "the command is too long."
case "${request}" in
*[!A-Za-z0-9+/=_.\ -]*) refuse "this is no request for a turn: use clawdie-turn." ;;
esac
set -- ${request}
if [ $# -lt 5 ] || [ $# -gt 1028 ] || [ "$1" != "turn" ]; then
	refuse "this is no request for a turn: use clawdie-turn."
fi
jail=$2
seconds=$3
bytes=$4
shift 4

# By the line of the plan, and no other: a jail that was made again here may be another tenant's than build.cfg says.
planned=$(jail_line "${jail}")
case "${planned}" in
"${jail} ${account} "*) ;;
*) refuse "${account} has no jail of that name." ;;
esac
# bounded NAME VALUE MOST
bounded()
{
	case "$2" in
	"" | *[!0-9]* | 0* | ??????????*) refuse "the $1 is no number." ;;
	esac
	[ "$2" -le "$3" ] || refuse "the $1 is $3 at most."
}
bounded "time limit" "${seconds}" 86400
bounded "output limit" "${bytes}" 268435456

for word in "$@"; do
	argument=
	if [ "${word}" != "-" ]; then
		argument=$(printf '%s' "${word}" | base64 -d 2> /dev/null && echo .) || refuse "an argument is damaged."
		argument=${argument%.}
		# No zero bytes, which sh(1) drops, and nothing that can be read in two ways.
		[ "$(printf '%s' "${argument}" | base64 | tr -d '\n')" = "${word}" ] || refuse "an argument is damaged."
	fi
	set -- "$@" "${argument}"
	shift
done

# A caller that has gone away does not wait for the answer: the turn ends, too.
gate=$$
caller=${PPID}
(
	while sleep 2; do
		case "$(ps -o ppid= -p "${gate}" | tr -d ' ')" in
		"${caller}") ;;
		"") exit ;;
		*)
			pkill -TERM -P "${gate}" -x timeout
			exit
			;;
		esac
	done
) < /dev/null > /dev/null 2>&1 &

exec env -i "PATH=${PATH}" HOME=/root CLAWDIE_ACCOUNT="${account}" "${root}/usr/local/sbin/clawdie-jail" \
    turn "${jail}" --timeout "${seconds}" --output "${bytes}" -- "$@"
