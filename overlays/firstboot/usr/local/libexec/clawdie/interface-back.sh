#!/bin/sh
# Run by devd(8) for an interface that appears, or whose link comes up, while the instance runs: gives a network card its
# address and routes, unless it has them, and finds out who faces the internet. Until then the firewall lets nothing
# through it. An interface of a jail gets nothing: interface-back.sh NAME
set -u

here=${0%/*}
asked=${CLAWDIE_ROOT-}/var/run/clawdie/interfaces
# shellcheck source=SCRIPTDIR/alone.sh
. "${here}/alone.sh"

back()
{
	"${here}/cards.sh" add "$1" || return 0
	case "$(ifconfig "$1" 2> /dev/null)" in
	"") return 0 ;;
	# One whose link was away for longer than dhclient(8) waits has none.
	*"<UP"*) service dhclient quietstart "$1" ;;
	*)
		service netif quietstart "$1"
		service routing quietstart
		;;
	esac
	"${here}/address-new.sh"
}

# devd(8) gives one argument, whatever a jail has called its interface.
case $# in
2)
	for mark in "${asked}"/*; do
		[ -e "${mark}" ] || continue
		rm -f "${mark}"
		back "${mark##*/}"
	done
	# Whoever asks without end has one run after the other, and not one at once.
	sleep 1
	exit 0
	;;
esac
case "${1-}" in
"" | -* | .* | *[!A-Za-z0-9_.+-]*)
	# The interfaces of a jail that has ended come back to the host under the name that root in the jail has given
	# them. rc(8) evaluates names: none that is more than a name may stay.
	ifconfig "${1-}" destroy
	exit 0
	;;
esac
ask "${asked}" "$1"
alone "${asked}" "$0" all asked
