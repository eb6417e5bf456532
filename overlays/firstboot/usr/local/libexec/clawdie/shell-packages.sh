#!/bin/sh
# Installs PACKAGES with pkg(8), those that are not there yet. With --missing it installs nothing, and ends with 0 where
# some are missing.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

wanted=
for package in ${PACKAGES}; do
	pkg -N info -e "${package}" > /dev/null 2>&1 || wanted="${wanted} ${package}"
done
if [ "${1-}" = "--missing" ]; then
	[ -n "${wanted}" ]
	exit
fi
[ -n "${wanted}" ] || exit 0
export ASSUME_ALWAYS_YES=yes
timeout 900 pkg install -y ${wanted}
