#!/bin/sh
# Prepares the host for jails: what Bastille works in. The jails themselves are made by rc.d/clawdie_jails, once people
# can log in.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"

folder=${root}/usr/local/bastille

# On a pool each jail is a dataset, which Bastille makes below this one.
if [ -e "${root}/etc/clawdie/installed" ] && [ "$(mount -p | awk '$2 == "/" { print $3 }')" = "zfs" ]; then
	pool=clawdie/bastille
	zfs list -H -o name "${pool}" > /dev/null 2>&1 || zfs create -o mountpoint=none "${pool}"
	zfs list -H -o name "${pool}/jails" > /dev/null 2>&1 || zfs create -o "mountpoint=${folder}/jails" "${pool}/jails"
fi
for name in backups cache jails logs releases templates; do
	mkdir -p "${folder}/${name}"
done
# As bastille(8) wants it: nobody but root looks into jails from outside.
chmod 0750 "${folder}"
