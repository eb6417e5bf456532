# Sourced by clawdie-update, after common.sh, tool.sh and medium.sh: the packages of the lock that the overlay in force has, where the
# disk has those of another one. What is brought needs no signature of its own: the overlay has the sum of each file.
# shellcheck shell=sh disable=SC2154

# Brings them, and installs what is not there, or there in an older version: packages FILE|-
packages()
{
	[ -e "${root}/etc/clawdie/installed" ] ||
	    fail "this instance runs from memory, and its packages are those of its medium. Nothing was changed." "Boot an image of the other lock."
	packages_locked ||
	    fail "the overlay in force has no lock: nothing says which packages are meant. Nothing was changed." "Push one that was rendered beside its clawdie.lock.json."
	if [ -e "${trial_program}" ] && [ "$(trial_says state)" != "none" ]; then
		fail "something is on trial, and its lock may go with it. Nothing was changed." "First: clawdie-update confirm, or clawdie-update back"
	fi
	if packages_busy; then
		echo "Packages are being installed just now: ask again."
		exit 75
	fi
	[ "$1" = "-" ] || [ -f "$1" ] || fail "$1 is no file."
	_new=${packages_installed}.new
	rm -rf "${_new}"
	_bytes=$(packages_lines catalogue asked needed other npm | awk '$3 != "-" { sum += $3 } { sum += 4096 } END { printf "%d", sum + 67108864 }')
	_free=$(df -k "${root}/" | awk 'NR == 2 { printf "%d", $4 }')
	[ "$((_bytes / 1024))" -lt "${_free}" ] ||
	    fail "the packages take $((_bytes / 1048576)) MB beside those that are there, and $((_free / 1024)) are free. Nothing was changed."
	mkdir -p "${packages_installed%/*}"
	mkdir -m 0755 "${_new}"
	trap 'rm -rf "${_new}"' EXIT
	packages_lines catalogue asked needed other npm | awk '{ print $5 }' > "${_new}/.files"
	# As of now: pkg(8) takes a catalogue that is old enough for one that it has read already.
	{ if [ "$1" = "-" ]; then cat; else cat "$1"; fi; } | head -c "${_bytes}" |
	    tar -xmf - -C "${_new}" -T "${_new}/.files" > /dev/null 2>&1 || true
	rm -f "${_new}/.files"
	packages_folder=${_new}
	packages_verify catalogue asked needed other npm ||
	    fail "what came is not what the overlay in force has in its lock. Nothing was changed." "Push the overlay of that lock first, and write the packages beside the same lock: clawdie-iso packages"
	# A connection that is cut now does not cut off what is half done.
	trap '' HUP INT PIPE TERM
	rm -rf "${packages_installed}.old"
	[ ! -e "${packages_installed}" ] || mv "${packages_installed}" "${packages_installed}.old"
	mv "${_new}" "${packages_installed}"
	sync
	rm -rf "${packages_installed}.old"
	trap - EXIT
	echo "The packages of the lock are here. What is not installed of them, or is older, is installed now: /var/log/clawdie-firstboot.log"
	service clawdie_packages install || true
	_lack=$(packages_differ missing; packages_older)
	[ -z "${_lack}" ] || fail "not as the lock has them: $(echo "${_lack}" | paste -s -d , -)." "See /var/log/clawdie-firstboot.log, then: service clawdie_packages install"
	echo "The packages are as the lock has them. What runs of an older one goes on until it is restarted. Jails: clawdie-jail template"
}
