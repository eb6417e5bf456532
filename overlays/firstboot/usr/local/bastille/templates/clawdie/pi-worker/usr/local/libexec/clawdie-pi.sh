#!/bin/sh
# Run in a jail by the template of the PI worker: installs pi for everybody in the jail, without running what packages
# of npm would like to run, from files where the host has some: clawdie-pi.sh VERSION
set -eu

# What the host has for it.
files=/var/cache/pi
version=${1-}
case "${version}" in
"" | *[!0-9A-Za-z.-]* | -*)
	echo "clawdie-pi.sh: \"${version}\" is no version" >&2
	exit 2
	;;
esac
export ASSUME_ALWAYS_YES=yes
if ! command -v npm > /dev/null 2>&1; then
	set -- "${files}"/*.pkg
	if [ -e "$1" ]; then
		# pkg(7) takes itself out of its own package where it is not there yet.
		for package in "${files}"/pkg-[0-9]*.pkg; do
			[ ! -e "${package}" ] || pkg add "${package}"
		done
		pkg add "$@"
	else
		pkg install -y node24 npm-node24 git-lite
	fi
fi
package=@earendil-works/pi-coding-agent
# Packages of npm that are locked, and were held against the lock before they were shown to this jail.
locked="/var/cache/clawdie-packages/npm"
home="/usr/local/lib/clawdie-npm"
if [ "$(pi --version 2> /dev/null)" = "${version}" ]; then
	:
elif grep -qF "\"${package}\": \"${version}\"" "${locked}/package.json" 2> /dev/null; then
	rm -rf "${home}"
	mkdir -p "${home}" "/usr/local/bin"
	cp -R "${locked}/." "${home}"
	(cd "${home}" && npm ci --offline --ignore-scripts --no-audit --no-fund --cache "${home}/.cache")
	rm -rf "${home}"/*.tgz "${home}/.cache"
	ln -sf ../lib/clawdie-npm/node_modules/.bin/pi "/usr/local/bin/pi"
else
	package=${package}@${version}
	[ ! -e "${files}/pi-${version}.tgz" ] || package=${files}/pi-${version}.tgz
	npm install --global --ignore-scripts --no-audit --no-fund "${package}"
fi
rm -rf "${files}"
pi --version
