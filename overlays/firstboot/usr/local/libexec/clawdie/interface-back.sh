#!/bin/sh
# Run by devd(8) for a network card that appears while the instance runs: gives it its address and routes, unless it has
# them, and finds out who faces the internet. Until then the firewall lets nothing through it: interface-back.sh NAME
set -u

interface=$1

case "$(ifconfig "${interface}" 2> /dev/null)" in
"") exit 0 ;;
*"<UP"*) ;;
*)
	service netif quietstart "${interface}"
	service routing quietstart
	;;
esac
service clawdie_egress quietstart
