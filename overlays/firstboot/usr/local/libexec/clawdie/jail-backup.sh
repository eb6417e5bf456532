# Sourced by clawdie-state, after common.sh, tool.sh and jails.sh: jails of the plan in an export, and out of it. Of each jail it
# has, as files of the archive:
#
#     jails/NAME/plan         "release" and the release that its base is of; "line" and its line of the plan
#     jails/NAME/root         an archive of its root: what a jail has in it is in there, and nowhere else read as a name
#     jails/NAME/jail.conf …  what Bastille keeps of it, outside of what the jail can write to
#     jails/sums              SHA-256 of each of these, last
# shellcheck shell=sh disable=SC2154

# jail.conf is last: with it there is a jail.
jail_files="fstab settings.conf rctl.conf cpuset.conf rdr.conf jail.conf"
jail_members='^jails/([a-z][a-z0-9]{0,10}/(plan|root|fstab|settings\.conf|rctl\.conf|cpuset\.conf|rdr\.conf|jail\.conf)|sums)$'
# While it is restored a jail has another name, which none can have.
jail_unborn=.import

# Stopped to be copied, and not started again yet.
jail_stopped=

start_jail()
{
	(umask 022 && bastille start "$1" < /dev/null > /dev/null 9>&-)
}

# Stops a jail that runs, to be started again: stop_jail NAME
stop_jail()
{
	jail_runs "$1" || return 0
	jail_stopped=$1
	bastille stop "$1" < /dev/null > /dev/null 9>&- || fail "$1 does not stop; nothing was written." "See: bastille stop $1"
}

# Has a jail stand still while descriptor 9 is open: a turn would start it again. One that goes on ends with the jail: hold_jail NAME
hold_jail()
{
	open_turns "$1"
	_left=12
	until lockf -s -t 5 9; do
		[ "${_left}" -gt 0 ] || fail "turns in $1 do not end; nothing was written." "Do it again."
		_left=$((_left - 1))
		stop_jail "$1"
	done
	stop_jail "$1"
}

# Adds the jails of the plan to an archive, one after the other; each stands still meanwhile: add_jails ARCHIVE WORK
add_jails()
{
	: > "$2/sums"
	jails_plan | cut -d ' ' -f 1 > "$2/jails"
	while read -r _jail; do
		if ! jail_exists "${_jail}"; then
			say "${_jail} is not there, and not in the file"
			continue
		fi
		hold_jail "${_jail}"
		_code=0
		copy_jail "${_jail}" "$2" || _code=$?
		# What a jail changes while it is read could lead out of it.
		! jail_runs "${_jail}" || _code=2
		[ -z "${jail_stopped}" ] || start_jail "${_jail}" || say "${_jail} does not start again: bastille start ${_jail}"
		jail_stopped=
		exec 9>&-
		case "${_code}" in
		0) ;;
		2) fail "${_jail} was started while it was copied; nothing was written." "Do it again." ;;
		*) fail "${_jail} cannot be copied; nothing was written." "Is there room for it? See: df -h" ;;
		esac
		tar -rf "$1" -C "$2/jails.new" -T "$2/members" || fail "the file cannot be written; nothing is left of it." "See: df -h"
		rm -rf "$2/jails.new"
		say "${_jail} is in it"
	done < "$2/jails"
	mkdir -p "$2/jails.new/jails"
	cp "$2/sums" "$2/jails.new/jails/sums"
	tar -rf "$1" -C "$2/jails.new" jails/sums || fail "the file cannot be written; nothing is left of it." "See: df -h"
}

# The members of one jail, in a folder of WORK, and their names and sums: copy_jail NAME WORK. Names in it are bytes, in whatever
# locale this runs; likewise on the way back.
copy_jail()
(
	mkdir -p "$2/jails.new/jails/$1" && cd "$2/jails.new" || exit 1
	printf 'release %s\nline %s\n' "${JAIL_RELEASE}" "$(jail_line "$1")" > "jails/$1/plan" || exit 1
	for _file in ${jail_files}; do
		[ ! -f "${jails_folder}/$1/${_file}" ] || cp -p "${jails_folder}/$1/${_file}" "jails/$1/${_file}" || exit 1
	done
	[ "$(root_kind)" != "ufs" ] || disk_mount "$1" || exit 1
	export LC_ALL=C
	# Numbers alone: names of accounts are those of the host here, and others on another. What tar(1) says has names of the jail's
	# in it, which nobody's terminal is to get.
	tar --one-file-system --numeric-owner --zstd -cf "jails/$1/root" -C "${jails_folder}/$1/root" . 2> /dev/null || exit 1
	find "jails/$1" -type f | sort > "$2/members"
	while read -r _name; do
		echo "$(sha256 -q < "${_name}") ${_name}" >> "$2/sums" || exit 1
	done < "$2/members"
)

# ---- The way back

# The value of a line of a jail's plan in an export: plan_of FILE JAIL release|line
plan_of()
{
	tar -xOf "$1" "jails/$2/plan" | sed -n "s/^$3 //p" | head -n 1
}

# Looks through the jails of an export before anything is changed; their names are in WORK/jails then:
# look_at_jails FILE NAMES WORK yes|no, the last of whether jails that are here may be replaced
look_at_jails()
{
	grep '^jails/' "$2" | grep -v '^jails/sums$' | sort > "$3/members"
	tar -xOf "$1" jails/sums > "$3/sums" 2> /dev/null || fail "$1 ends before its end; nothing was changed." "Bring it once more."
	cut -d ' ' -f 2- "$3/sums" | sort | cmp -s - "$3/members" || fail "$1 holds other files than its sums; nothing was changed."
	while read -r _sum _name; do
		[ "$(tar -xOf "$1" "${_name}" | sha256 -q)" = "${_sum}" ] || fail "$1 is damaged (${_name}); nothing was changed." "Bring it once more."
	done < "$3/sums"
	sed -n 's|^jails/\([^/]*\)/root$|\1|p' "$3/members" > "$3/jails"
	# An instance without jails has none in its backup, and asks for nothing that jails need.
	[ -s "$3/jails" ] || return 0
	case "$(root_kind)" in
	ufs | zfs) ;;
	*) fail "this is a live image, whose jails are gone at the next boot; nothing was changed." "Install it first: clawdie-install" ;;
	esac
	command -v bastille > /dev/null 2>&1 || fail "bastille is not installed; nothing was changed." "See: service clawdie_packages start"
	while read -r _jail; do
		plan_of "$1" "${_jail}" line | grep -qE "^${_jail} [a-z][a-z0-9]* (plain|vnet) [0-9.]+ [A-Za-z0-9_./-]+ [0-9]+%? [0-9]+ [0-9]+ [0-9]+$" ||
		    fail "$1 has no plan of ${_jail}; nothing was changed."
		grep -qxF "jails/${_jail}/jail.conf" "$3/members" || fail "$1 has no jail.conf of ${_jail}; nothing was changed."
		_release=$(plan_of "$1" "${_jail}" release)
		[ "${_release}" = "${JAIL_RELEASE}" ] ||
		    fail "${_jail} is made of ${_release}, and jails of this instance of ${JAIL_RELEASE}; nothing was changed." "Import it on an image of ${_release}."
		[ "$4" = "yes" ] || ! jail_exists "${_jail}" ||
		    fail "there is a jail ${_jail} here, which would be lost; nothing was changed." "To have it replaced: clawdie-state import --replace FILE"
	done < "$3/jails"
}

# Brings back the jails that were looked at: bring_jails FILE WORK
bring_jails()
{
	while read -r _jail; do
		unborn_away
		_line=$(plan_of "$1" "${_jail}" line)
		if [ -n "$(jail_line "${_jail}")" ] && jail_exists "${_jail}"; then
			"${root}/usr/local/sbin/clawdie-jail" destroy "${_jail}" < /dev/null > /dev/null || fail "the jail ${_jail} that is here does not go." "See: clawdie-jail destroy ${_jail}"
		fi
		bring_jail "$1" "${_jail}" "${_line##* }" "$2/members" ||
		    fail "${_jail} cannot be brought back; those before it are here." "Mend what stands above, then: clawdie-state import --replace $1"
		# Where the overlay has no such line, it is one that was made on the instance.
		if [ -f "${jails_gone}" ]; then
			{ grep -vx "${_jail}" "${jails_gone}" || true; } | write_file "${jails_gone}" 600 > /dev/null
		fi
		if [ "$(jail_line "${_jail}")" != "${_line}" ]; then
			{
				grep -v "^${_jail} " "${jails_added}" 2> /dev/null || true
				echo "${_line}"
			} | write_file "${jails_added}" 600 > /dev/null
		fi
		say "${_jail} is here"
	done < "$2/jails"
}

# What a restore that was cut off has left.
unborn_away()
{
	if [ "$(root_kind)" = "zfs" ]; then
		! zfs list "clawdie/bastille/jails/${jail_unborn}" > /dev/null 2>&1 || zfs destroy -r "clawdie/bastille/jails/${jail_unborn}"
	else
		disk_remove "${jail_unborn}"
		rm -rf "${jails_folder:?}/${jail_unborn}"
	fi
}

# One jail, which is there when it is whole: bring_jail FILE NAME BYTES MEMBERS
bring_jail()
(
	_unborn=${jails_folder}/${jail_unborn}
	if [ "$(root_kind)" = "zfs" ]; then
		zfs create -o compress=on -o atime=off "clawdie/bastille/jails/${jail_unborn}" &&
		    zfs create -o compress=on -o atime=off "clawdie/bastille/jails/${jail_unborn}/root" &&
		    disk_bound "${jail_unborn}" "$3" || exit 1
	else
		mkdir -p "${_unborn}" && disk_make "${jail_unborn}" "$3" || exit 1
	fi
	chmod 0700 "${_unborn}" || exit 1
	export LC_ALL=C
	# Into an empty file system: tar(1) goes through no link that it has made itself.
	tar -xOf "$1" "jails/$2/root" | tar --numeric-owner --zstd -xpf - -C "${_unborn}/root" 2> /dev/null || exit 1
	for _file in ${jail_files}; do
		! grep -qxF "jails/$2/${_file}" "$4" || tar -xOf "$1" "jails/$2/${_file}" > "${_unborn}/${_file}" || exit 1
	done
	chmod 0644 "${_unborn}"/*.conf "${_unborn}/fstab" && mkdir -p "${root}/var/log/bastille" || exit 1
	# A backup may be older than what begins and ends jails now.
	guard_jail "${jail_unborn}" || exit 1
	if [ "$(root_kind)" = "zfs" ]; then
		zfs rename "clawdie/bastille/jails/${jail_unborn}" "clawdie/bastille/jails/$2"
	else
		# The folder last: with it there is a jail.
		disk_unmount "${jail_unborn}" && mv "${jails_disks}/${jail_unborn}.img" "${jails_disks}/$2.img" &&
		    mv "${_unborn}" "${jails_folder}/$2" && disk_mount "$2"
	fi
)
