#!/bin/sh
# Runs the machine for browser work as long as it wants to run; clawdie_browser starts and ends it: browser.sh WORDS OF BHYVE.
# bhyve(8) ends with 0 where the guest has restarted, and is started again; with 1 where that has powered off; with another
# number where something failed. A signal is the power button: the guest shuts down, if it knows ACPI.
set -u
PATH=/sbin:/bin:/usr/sbin:/usr/bin
export PATH

guest=
ending=
power_button()
{
	ending=yes
	[ -z "${guest}" ] || kill -TERM "${guest}"
}
trap power_button HUP INT TERM

result=0
while [ "${result}" -eq 0 ] && [ -z "${ending}" ]; do
	# What the last run was is no use to the next one.
	bhyvectl --destroy --vm=browser 2> /dev/null
	bhyve "$@" browser &
	guest=$!
	wait "${guest}"
	result=$?
	# A signal ends wait, and not the guest.
	while kill -0 "${guest}" 2> /dev/null; do
		wait "${guest}"
		result=$?
	done
	guest=
	logger -t clawdie_browser "the machine has ended with ${result} (0 restarted, 1 powered off)"
	sleep 1
done
bhyvectl --destroy --vm=browser 2> /dev/null
[ "${result}" -le 1 ]
