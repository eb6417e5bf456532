#!/bin/sh
# What turn.sh starts under timeout(1):
#
#   session WORK JAIL USER COMMAND ...   in a session with a terminal of its own, by script(1), which nobody reads
#   command JAIL USER COMMAND ...        in that session: the command in the jail
#
# The command's streams are the descriptors 3, 4 and 5.
set -u

stage=$1
shift
case "${stage}" in
session)
	work=$1
	shift
	# Whom a signal ends the turn with.
	echo "${PPID}" > "${work}/keeper"
	script -q /dev/null sh "$0" command "$@"
	echo $? > "${work}/status"
	# Nothing is left running: timeout(1) tells all that descends from it, and kills what does not hear.
	trap '' TERM
	kill -TERM "${PPID}"
	exit 0
	;;
esac

jail=$1
user=$2
shift 2

# root in the jail says who is who there, and id(1) is his: it gets no more to see than the command, and nothing of the host's, whose
# /dev/null it could close to others.
uid=$(jexec "${jail}" id -u "${user}" 3<&- 4>&- 5>&-)
case "${uid}" in
"" | *[!0-9]*)
	echo "clawdie-jail: jail ${jail} has no user ${user}." >&5
	echo "  Apply a worker's template, or name another: --user" >&5
	exit 125
	;;
0*)
	echo "clawdie-jail: a turn does not run as root." >&5
	echo "  Name an ordinary user: --user" >&5
	exit 125
	;;
esac
jexec -l -U "${user}" "${jail}" "$@" <&3 >&4 2>&5 3<&- 4>&- 5>&-
# Not by exec: 128 and the signal is what sh(1) says of a command that a signal has ended, and script(1) does not.
exit $?
