#!/bin/sh
# Run by devd(8) for an interface that appears, or whose link comes up, while the instance runs: gives a network card its
# address and routes, unless it has them, and finds out who faces the internet. Until then the firewall lets nothing
# through it. An interface of a jail gets nothing: interface-back.sh NAME
set -u

interface=$1
here=${0%/*}

case "${interface}" in
"" | *[!A-Za-z0-9_.+/-]*)
	# The interfaces of a jail that has ended come back to the host under the name that root in the jail has given
	# them. rc(8) evaluates names: none that is more than a name may stay.
	ifconfig "${interface}" destroy
	exit 0
	;;
esac
"${here}/cards.sh" add "${interface}" || exit 0
case "$(ifconfig "${interface}" 2> /dev/null)" in
"") exit 0 ;;
*"<UP"*) ;;
*)
	service netif quietstart "${interface}"
	service routing quietstart
	;;
esac
"${here}/address-new.sh"
