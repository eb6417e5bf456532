#!/bin/sh
# Consoles that offer a login, by CONSOLE: serial, video or both. init(8) reads ttys(5) after the first boot is done.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

ttys=${root}/etc/ttys
case "${CONSOLE}" in
serial) serial=on video=off ;;
video) serial=off video=on ;;
*) serial=on video=on ;;
esac

# The fourth word of a line is "on", "off", "onifconsole" or "onifexists"; getty may be quoted and have blanks.
sed -E \
    -e "s/^(ttyu0[[:space:]]+\"[^\"]*\"[[:space:]]+[^[:space:]]+[[:space:]]+)[^[:space:]]+/\\1${serial}/" \
    -e "s/^(ttyv0[[:space:]]+\"[^\"]*\"[[:space:]]+[^[:space:]]+[[:space:]]+)[^[:space:]]+/\\1${video}/" \
    -e "s/^(ttyv[1-9a-f][[:space:]]+\"[^\"]*\"[[:space:]]+[^[:space:]]+[[:space:]]+)[^[:space:]]+/\\1off/" \
    "${ttys}" | write_file "${ttys}" 644
