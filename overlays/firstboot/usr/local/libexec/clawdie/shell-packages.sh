#!/bin/sh
# Installs PACKAGES with pkg(8), those that are not there yet: from the medium where they are locked, without a network, and what is there in an
# older version than the lock's as well. With --missing it installs nothing, and ends with 0 where some are missing.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"
# shellcheck source=SCRIPTDIR/medium.sh
. "${0%/*}/medium.sh"

wanted=
for package in ${PACKAGES}; do
	pkg -N info -e "${package}" > /dev/null 2>&1 || wanted="${wanted} ${package}"
done
if [ -z "${wanted}" ] && packages_locked; then
	# What they need, where somebody has taken that away.
	for package in $(packages_lines needed | awk '{ print $6 }'); do
		pkg -N info -e "${package}" > /dev/null 2>&1 || wanted="${wanted} ${package}"
	done
fi
if [ "${1-}" = "--missing" ]; then
	[ -n "${wanted}" ]
	exit
fi
# Not at each boot: who went back to an older one stays there.
if packages_locked && packages_here; then
	wanted="${wanted}$(packages_older | awk '{ printf " %s", $1 }')"
fi
[ -n "${wanted}" ] || exit 0
if packages_locked; then
	# shellcheck disable=SC2086
	packages_install ${wanted}
	exit
fi
export ASSUME_ALWAYS_YES=yes
timeout 900 pkg install -y ${wanted}
