# Sourced by clawdie-trial: the watchdog(4) of the hardware, where it has one, ends a boot on trial whose kernel hangs.
# shellcheck shell=sh

# More than a trial has in all (deadline). In seconds; what goes to the hardware is a power of two of nanoseconds, 549 s.
bite=512

arm()
{
	for _driver in ichwd amdsbwd wdatwd; do
		if kldload -nq "${_driver}" 2> /dev/null && watchdog -t "${bite}" > /dev/null 2>&1; then
			return
		fi
	done
}

# watchdogd(8), where it runs, has it on again within seconds.
disarm()
{
	watchdog -t 0 > /dev/null 2>&1 || true
}
