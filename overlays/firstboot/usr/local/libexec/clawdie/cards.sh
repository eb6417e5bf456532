#!/bin/sh
# The network cards on which this host asks for addresses and takes router advertisements: those that hardware brought,
# or the one that build.cfg names (EXT_IF). The list is decided once, before any jail can exist (clawdie_cards), and is
# what devd, cron, dhclient and rc.conf go by: whoever answers on an interface of a jail would set the host's routes.
#   cards.sh decide     writes the list
#   cards.sh add NAME   adds a card that hardware has brought since; fails if it is none
#   cards.sh has NAME   whether the interface of that name is on the list, and still is that card
#   cards.sh list       the names of those that are there
#   cards.sh before NAME OTHER   whether both are there, and the first stands before the other
# A line is a name and what the driver calls it: an interface of a jail can have any name, but not another's driver.
set -u

root=${CLAWDIE_ROOT-}
file=${root}/var/run/clawdie/cards

EXT_IF=auto
# shellcheck source=/dev/null
[ ! -r "${root}/etc/clawdie/clawdie.conf" ] || . "${root}/etc/clawdie/clawdie.conf"

# Whether rc(8), which evaluates names of interfaces, can be given this one.
is_name()
{
	case "$1" in
	"" | *[!A-Za-z0-9_.]*) return 1 ;;
	esac
}

# What the driver calls an interface, whatever its name is.
driver_of()
{
	ifconfig -D "$1" 2> /dev/null | sed -n 's/^[[:space:]]*drivername: //p'
}

# Whether a driver's interfaces are made by ifconfig(8) or netgraph(4): is_made DRIVERNAME
is_made()
{
	_kind=$(echo "$1" | sed 's/[0-9]*$//')
	case " $(ifconfig -C 2> /dev/null) ngeth " in
	*" ${_kind} "*) return 0 ;;
	esac
	return 1
}

# Whether there is a device behind a driver's interface: has_device DRIVERNAME
has_device()
{
	_kind=$(echo "$1" | sed 's/[0-9]*$//')
	_unit=${1#"${_kind}"}
	[ -n "${_unit}" ] || return 1
	# USB network cards are at net.ue.
	sysctl -N "dev.${_kind}.${_unit}" > /dev/null 2>&1 || sysctl -N "net.${_kind}.${_unit}" > /dev/null 2>&1
}

# Puts standard input in the place of the list.
write_list()
{
	(
		umask 077
		mkdir -p "${file%/*}"
		cat > "${file}.$$" && mv -f "${file}.$$" "${file}"
	)
}

decide()
{
	if [ "${EXT_IF}" != "auto" ]; then
		_driver=$(driver_of "${EXT_IF}")
		# One that is made later, by rc.conf, has the name that its driver gives it.
		[ -n "${_driver}" ] || _driver=${EXT_IF}
		echo "${EXT_IF} ${_driver}" | write_list
		return
	fi
	for _if in $(ifconfig -l ether); do
		is_name "${_if}" || continue
		_driver=$(driver_of "${_if}")
		if [ -n "${_driver}" ] && ! is_made "${_driver}"; then
			echo "${_if} ${_driver}"
		fi
	done | write_list
}

has()
{
	is_name "$1" || return 1
	[ -r "${file}" ] || return 1
	_driver=$(driver_of "$1")
	[ -n "${_driver}" ] && grep -qxF "$1 ${_driver}" "${file}"
}

add()
{
	! has "$1" || return 0
	if [ "${EXT_IF}" != "auto" ] || ! is_name "$1"; then
		return 1
	fi
	_driver=$(driver_of "$1")
	if [ -z "${_driver}" ] || is_made "${_driver}" || ! has_device "${_driver}"; then
		return 1
	fi
	{
		[ ! -r "${file}" ] || awk -v "name=$1" '$1 != name' "${file}"
		echo "$1 ${_driver}"
	} | write_list
}

list()
{
	[ -r "${file}" ] || return 0
	while read -r _if _driver; do
		! has "${_if}" || echo "${_if}"
	done < "${file}"
}

before()
{
	list | awk -v "name=$1" -v "other=$2" '
		$0 == name { seen = 1 }
		$0 == other { found = seen && name != other; exit }
		END { exit !found }'
}

case "${1-} $#" in
"decide 1" | "list 1") "$1" ;;
"add 2" | "has 2") "$1" "$2" ;;
"before 3") before "$2" "$3" ;;
*)
	echo "usage: cards.sh decide | list | add NAME | has NAME | before NAME OTHER" >&2
	exit 2
	;;
esac
