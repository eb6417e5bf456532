# Sourced by clawdie-update, after common.sh, tool.sh and medium.sh: the packages of the lock that the overlay in force has, where the
# disk has those of another one. What is brought needs no signature of its own: the overlay has the sum of each file.
# shellcheck shell=sh disable=SC2154

not_yet()
{
	echo "$1: ask again."
	exit 75
}

# Nobody reads the packages, and nothing is on trial that would take its lock along.
packages_free()
{
	if [ -e "${trial_program}" ] && [ "$(trial_says state)" != "none" ]; then
		fail "something is on trial, and its lock may go with it. Nothing was changed." "First: clawdie-update confirm, or clawdie-update back"
	fi
	! packages_busy || not_yet "Packages are being installed just now"
	if mount -p | awk -v folder="${packages_installed}" '$1 == folder { found = 1 } END { exit !found }'; then
		not_yet "A jail is given packages just now"
	fi
}

# Unpacks what the lock names, and nothing else, as of now: pkg(8) takes a catalogue that is old enough for one that it has read already.
# It may be anybody's archive: no owners, modes or flags of it: packages_unpack FILE|- BYTES FOLDER
packages_unpack()
{
	packages_lines catalogue asked needed other npm | awk '{ print $5 }' > "$3/.files"
	{ if [ "$1" = "-" ]; then cat; else cat "$1"; fi; } | head -c "$2" | (
		umask 022
		ulimit -f $(($2 / 512))
		LC_ALL=C tar -xmf - --no-same-owner --no-same-permissions --no-fflags --no-acls --no-xattrs -C "$3" -T "$3/.files"
	) > /dev/null 2> "$3/.said" || true
	sed '/Error exit delayed/d' "$3/.said" | tail -n 1
	rm -f "$3/.files" "$3/.said"
}

# Brings them, and installs what is not there, or there in an older version: packages FILE|-
packages()
{
	[ -e "${root}/etc/clawdie/installed" ] ||
	    fail "this instance runs from memory, and its packages are those of its medium. Nothing was changed." "Boot an image of the other lock."
	packages_locked ||
	    fail "the overlay in force has no lock: nothing says which packages are meant. Nothing was changed." "Push one that was rendered beside its clawdie.lock.json."
	[ "$1" = "-" ] || [ -f "$1" ] || fail "$1 is no file."
	packages_free
	# A second one would take away what the first has unpacked.
	exec 8> "${packages_bringing}"
	lockf -s -t 0 8 || not_yet "Packages are being brought just now"
	_new=${packages_installed}.new
	mkdir -p "${packages_installed%/*}"
	# What a power cut has left.
	if [ ! -e "${packages_installed}" ] && [ -e "${packages_installed}.old" ]; then
		mv "${packages_installed}.old" "${packages_installed}"
	fi
	rm -rf "${_new}" "${packages_installed}.old"
	# The sizes of archives of npm are not in the list.
	_bytes=$(packages_lines catalogue asked needed other npm |
	    awk '{ sum += ($3 == "-" ? 16777216 : $3) + 4096 } END { printf "%d", sum + 67108864 }')
	_free=$(df -k "${root}/" | awk 'NR == 2 { printf "%d", $4 }')
	[ "$((_bytes / 1024))" -lt "${_free}" ] ||
	    fail "the packages take $((_bytes / 1048576)) MB at most beside those that are there, and $((_free / 1024)) are free. Nothing was changed."
	trap 'rm -rf "${_new}"' EXIT
	trap 'exit 1' HUP INT PIPE TERM
	mkdir -m 0755 "${_new}"
	_said=$(packages_unpack "$1" "${_bytes}" "${_new}")
	packages_folder=${_new}
	if ! packages_verify catalogue asked needed other npm; then
		[ -z "${_said}" ] || say "${_said}"
		fail "what came is not what the overlay in force has in its lock. Nothing was changed." "Push the overlay of that lock first, and write the packages beside the same lock: clawdie-iso packages"
	fi
	packages_free
	# A connection that is cut now does not cut off what is half done.
	trap '' HUP INT PIPE TERM
	sync
	[ ! -e "${packages_installed}" ] || mv "${packages_installed}" "${packages_installed}.old"
	mv "${_new}" "${packages_installed}"
	sync
	rm -rf "${packages_installed}.old"
	trap - EXIT HUP INT PIPE TERM
	exec 8>&-
	echo "The packages of the lock are here. What is not installed of them, or is older, is installed now: /var/log/clawdie-firstboot.log"
	# By itself, whoever goes away meanwhile, and with no signal ignored: what packages bring is started by it.
	_done=${root}/var/run/clawdie-update-packages.done
	rm -f "${_done}"
	daemon -f sh -c "service clawdie_packages install; : > '${_done}'"
	until [ -e "${_done}" ]; do
		sleep 1
	done
	_lack=$(packages_differ missing; packages_older)
	[ -z "${_lack}" ] || fail "not as the lock has them: $(echo "${_lack}" | paste -s -d , -)." "See /var/log/clawdie-firstboot.log, then: service clawdie_packages install"
	# shellcheck disable=SC2046 # names are words
	_said=$(pkg -N check -q -s $(packages_lines asked needed | awk '{ print $6 }') 2>&1) || true
	[ -z "${_said}" ] || fail "files of packages are not as they were installed: $(echo "${_said}" | head -n 1)." "See: pkg check -s -a"
	echo "The packages are as the lock has them, or newer. What runs of an older one goes on until it is restarted. Jails: clawdie-jail template"
}
