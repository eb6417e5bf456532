#!/bin/sh
# Run in a jail by the template of the PI worker: installs pi from npm for everybody in the jail, without running what
# packages would like to run: clawdie-pi.sh VERSION
set -eu

version=${1-}
case "${version}" in
"" | *[!0-9A-Za-z.-]* | -*)
	echo "clawdie-pi.sh: \"${version}\" is no version" >&2
	exit 2
	;;
esac
if [ "$(pi --version 2> /dev/null)" != "${version}" ]; then
	npm install --global --ignore-scripts --no-audit --no-fund "@earendil-works/pi-coding-agent@${version}"
fi
pi --version
