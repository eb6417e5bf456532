# Sourced, after common.sh, by what installs packages of the lock: they lie on the medium of a live image, and in a folder
# of an installed instance. pkg(8) does not look at the sums of files in a repository that is a folder, so that each is held
# against the list of the overlay before pkg sees it, and what pkg has is looked at afterwards.
# shellcheck shell=sh disable=SC2154

# A line each: kind (catalogue, asked, needed, other, npm), SHA-256, bytes, bytes installed, file, name, version. Archives of npm
# have a SHA-512, and "-" for their bytes.
packages_list=${root}/var/db/clawdie/packages.list
packages_installed=${root}/var/db/clawdie/packages
packages_device=/dev/iso9660/CLAWDIE
packages_mount=${root}/var/run/clawdie-medium
packages_work=${root}/var/run/clawdie-pkg
# Locked while the packages of an instance are exchanged, and while a jail is shown them.
packages_bringing=${root}/var/run/clawdie-update-packages.lock

# Whether the packages of this deployment are locked.
packages_locked()
{
	[ -s "${packages_list}" ]
}

# Lines of some kinds: packages_lines KIND...
packages_lines()
{
	awk -v kinds=" $* " '!/^#/ && NF == 7 && index(kinds, " " $1 " ") { print }' "${packages_list}"
}

# Where the medium is mounted, if it is.
packages_mounted()
{
	mount -p | awk -v device="${packages_device}" '$1 == device { print $2; exit }'
}

# Finds the folder of the packages: sets packages_folder. A device is mounted once: whoever has mounted it has it for all.
packages_open()
{
	packages_folder=${packages_installed}
	[ ! -f "${packages_folder}/meta.conf" ] || return 0
	if [ -e "${root}/etc/clawdie/installed" ]; then
		say "the packages of this instance are not there: /var/db/clawdie/packages has no meta.conf"
		return 1
	fi
	_at=$(packages_mounted)
	if [ -z "${_at}" ]; then
		_at=${packages_mount}
		mkdir -p "${_at}"
		if ! mount -t cd9660 -o ro "${packages_device}" "${_at}"; then
			say "the medium with the packages cannot be read (${packages_device}): attach the ISO that this instance was booted from"
			return 1
		fi
	fi
	packages_folder=${_at}/packages
	[ -f "${packages_folder}/meta.conf" ] && return 0
	say "the medium has no packages: attach the ISO that this instance was booted from"
	return 1
}

# The folder of packages that are of another lock than the list, so that none of them is ever installed: their catalogue, which
# names all, is another one. Nothing where they are of this lock, or not to be seen.
packages_strange()
{
	_at=${packages_installed}
	if [ ! -f "${_at}/data.pkg" ]; then
		_at=$(packages_mounted)
		[ -n "${_at}" ] && [ -f "${_at}/packages/data.pkg" ] || return 0
		_at=${_at}/packages
	fi
	packages_lines catalogue | while read -r _kind _sum _size _flat _file _rest; do
		[ "${_file}" != "data.pkg" ] || [ "$(packages_sum "${_at}/${_file}" "${_sum}")" = "${_sum}" ] || echo "${_at#"${root}"}"
	done
}

# Whether those of the lock are at hand, as far as is known before each is looked at.
packages_here()
{
	[ -z "$(packages_strange)" ] &&
	    { [ -f "${packages_installed}/meta.conf" ] || [ ! -e "${root}/etc/clawdie/installed" ]; }
}

# What of the lock is not there, or is there in another version, a line each: NAME, or NAME VERSION and that of the lock:
# packages_differ missing|other
packages_differ()
{
	{
		pkg -N query 'has %n %v' 2> /dev/null || true
		packages_lines asked needed
	} | awk -v what="$1" '
	$1 == "has" { has[$2] = $3; next }
	!($6 in has) { if (what == "missing") print $6; next }
	what == "other" && has[$6] != $7 { print $6, has[$6], $7 }'
}

# Packages that are there in an older version than the lock's, as packages_differ has them.
packages_older()
{
	packages_differ other | while read -r _name _has _locked; do
		[ "$(pkg -N version -t "${_has}" "${_locked}" 2> /dev/null)" != "<" ] || echo "${_name} ${_has} ${_locked}"
	done
}

# What brings a package of the host that is not there; where it is not of the lock, and a service has to be started then, that as
# well: packages_remedy NAME [SERVICE]
packages_remedy()
{
	if packages_locked && packages_lines asked needed | awk -v name="$1" '$6 == name { found = 1 } END { exit !found }' &&
	    packages_here; then
		echo "service clawdie_packages install"
	else
		echo "pkg install $1${2:+; service $2 start}"
	fi
}

# Whether packages are being installed just now: rc.d/clawdie_packages holds a lock then.
packages_busy()
{
	[ -e "${root}/var/run/clawdie-packages.lock" ] && ! lockf -s -t 0 -k "${root}/var/run/clawdie-packages.lock" true
}

# The sum of a file, of the kind that another sum is of: packages_sum FILE SUM
packages_sum()
{
	case "${#2}" in
	128) sha512 -q "$1" ;;
	*) sha256 -q "$1" ;;
	esac
}

# Holds the files of some kinds against the list: packages_verify KIND...
packages_verify()
{
	packages_lines "$@" | {
		_wrong=0
		while read -r _kind _sum _size _flat _file _name _version; do
			_path=${packages_folder}/${_file}
			if [ ! -f "${_path}" ] || [ -L "${_path}" ]; then
				_why="is not there"
			elif [ "${_size}" != "-" ] && [ "$(($(wc -c < "${_path}")))" -ne "${_size}" ]; then
				_why="has not the ${_size} bytes of the lock"
			elif [ "$(packages_sum "${_path}" "${_sum}")" != "${_sum}" ]; then
				_why="has not the sum of the lock, ${_sum}"
			else
				continue
			fi
			say "${_file} ${_why}"
			_wrong=1
		done
		[ "${_wrong}" -eq 0 ]
	} && return 0
	say "packages were altered or damaged, or are of another lock: nothing is installed"
	return 1
}

# Whether there is room for what is still to be installed.
packages_fit()
{
	_lack=" $({ packages_differ missing; packages_older; } | awk '{ printf "%s ", $1 }')"
	_needed=$(packages_lines asked needed | while read -r _kind _sum _size _flat _file _name _version; do
		case "${_lack}" in
		*" ${_name} "*) echo "${_flat}" ;;
		esac
	done | awk '{ sum += $1 } END { printf "%d", sum / 1024 }')
	_free=$(df -k "${root}/" | awk 'NR == 2 { print $4 }')
	[ "${_needed}" -gt "${_free}" ] || return 0
	say "the packages take $((_needed / 1024)) MB, and $((_free / 1024)) are free: nothing is installed"
	return 1
}

# Puts pkg-static, which needs nothing, out of the package of pkg(8) into a file: packages_static FILE
packages_static()
{
	_pkg=$(packages_lines asked needed other | awk '$6 == "pkg" { print $5; exit }')
	[ -n "${_pkg}" ] || { say "the lock has no pkg"; return 1; }
	if ! tar -xOf "${packages_folder}/${_pkg}" '*/sbin/pkg-static' > "$1" || [ ! -s "$1" ]; then
		say "${_pkg} has no pkg-static"
		return 1
	fi
	chmod 0700 "$1"
}

# Names of the repositories that FreeBSD has set up below a root, its packages' own first: packages_repositories ROOT. Root in a
# jail may have led it to a file of the host's, or have made it endless: no links, and no more than a piece.
packages_repositories()
{
	_conf=$1/etc/pkg/FreeBSD.conf
	if [ -L "$1/etc" ] || [ -L "$1/etc/pkg" ] || [ -L "${_conf}" ] || [ ! -f "${_conf}" ]; then
		return 0
	fi
	timeout -k 5 5 head -c 65536 "${_conf}" | LC_ALL=C sed -n 's/^\(FreeBSD[A-Za-z0-9_-]*\)[: {].*/\1/p' || true
}

# The name that the repository has for pkg(8): that of FreeBSD's own, since updates come from there later.
packages_name()
{
	_first=$(packages_repositories "$1" | head -n 1)
	echo "${_first:-FreeBSD-ports}"
}

# A configuration of pkg(8): packages_conf ROOT FOLDER, and no repository of FreeBSD beside it.
packages_conf()
{
	_own=$(packages_name "$1")
	for _each in $(packages_repositories "$1"); do
		[ "${_each}" = "${_own}" ] || echo "${_each}: { enabled: no }"
	done
	echo "${_own}: { url: \"file://$2\", mirror_type: \"none\", signature_type: \"none\", enabled: yes }"
}

# Whether pkg(8) has what the lock says: packages_hold NAME...
packages_hold()
{
	packages_lines asked needed | {
		_wrong=0
		_there=
		while read -r _kind _sum _size _flat _file _name _version; do
			_has=$(pkg -N query %v "${_name}" 2> /dev/null) || _has=
			if [ "${_has}" = "${_version}" ]; then
				_there="${_there} ${_name}"
				continue
			fi
			say "${_name} is there in version ${_has:-none}, and the lock has ${_version}"
			# What was there before, in another version, is somebody's own.
			case "${_has:+ $* }" in
			"" | *" ${_name} "*) _wrong=1 ;;
			esac
		done
		# shellcheck disable=SC2086
		_said=$([ -z "${_there}" ] || pkg -N check -q -s ${_there} 2>&1) || true
		if [ -n "${_said}" ]; then
			say "pkg check: ${_said}"
			_wrong=1
		fi
		[ "${_wrong}" -eq 0 ]
	}
}

# Installs packages, by name, without a network: packages_install NAME...
packages_install()
{
	packages_open || return 1
	say "checking the packages in ${packages_folder#"${root}"}"
	packages_verify catalogue asked needed || return 1
	packages_fit || return 1
	rm -rf "${packages_work}"
	mkdir -p "${packages_work%/*}"
	mkdir -m 0700 "${packages_work}" "${packages_work}/repos" || return 1
	packages_static "${packages_work}/pkg-static" || return 1
	packages_conf "${root}" "${packages_folder}" > "${packages_work}/repos/clawdie.conf" || return 1
	_repository=$(packages_name "${root}")
	# One that is there may be newer than that of the lock; an older one is asked for by its name.
	pkg -N info -e pkg > /dev/null 2>&1 || set -- pkg "$@"
	ASSUME_ALWAYS_YES=yes
	export ASSUME_ALWAYS_YES
	# How they end says little: what is there is looked at.
	timeout 1800 "${packages_work}/pkg-static" -R "${packages_work}/repos" update -f -r "${_repository}" || true
	timeout 1800 "${packages_work}/pkg-static" -R "${packages_work}/repos" install -y -U -r "${_repository}" "$@" ||
	    say "pkg-static install ended with $?"
	rm -rf "${packages_work}"
	# What FreeBSD's repository has is asked for anew.
	rm -rf "${root}/var/db/pkg/repos/${_repository}" "${root}/var/db/pkg/repo-${_repository}.sqlite"
	packages_hold "$@"
}

# ---- Jails: see jail-template.sh

# Where a jail sees the packages while its template is applied.
packages_in_jail=/var/cache/clawdie-packages
# What their repository is called there.
packages_named=FreeBSD-ports

# The lines of a template's Bastillefile, and of those of all that it includes; fails where one is not there: template_lines TEMPLATE
template_lines()
{
	_left=$1
	_seen=
	while [ -n "${_left}" ]; do
		_one=${_left%% *}
		_left=${_left#"${_one}"}
		_left=${_left# }
		case " ${_seen} " in
		*" ${_one} "*) continue ;;
		esac
		_seen="${_seen} ${_one}"
		_bastillefile=${root}/usr/local/bastille/templates/${_one}/Bastillefile
		[ -f "${_bastillefile}" ] || return 1
		cat "${_bastillefile}"
		# Their names are words.
		# shellcheck disable=SC2013
		for _included in $(awk 'tolower($1) == "include" { print $2 }' "${_bastillefile}"); do
			_left="${_left:+${_left} }${_included}"
		done
	done
}

# Whether a template of this project installs packages: packages_wanted TEMPLATE
packages_wanted()
{
	case "$1" in
	clawdie/*) template_lines "$1" | grep -Eq '^(PKG|# lock: (pkg|npm))[[:space:]]' ;;
	*) return 1 ;;
	esac
}

# The packages that a template names, and the lock does not have: packages_lacking TEMPLATE
packages_lacking()
{
	{
		packages_lines asked needed other
		echo "--"
		template_lines "$1"
	} | awk '
	!lines && $1 == "--" { lines = 1; next }
	!lines { has[$6] = 1; next }
	/^PKG[[:space:]]/ { first = 2 }
	/^# lock: pkg[[:space:]]/ { first = 4 }
	first { for (i = first; i <= NF; i++) if (!($i in has)) { print $i; has[$i] = 1 }; first = 0 }'
}

# Makes a folder below the root of a jail in which nothing runs, by no link that somebody in it has made: folder_within ROOT FOLDER
folder_within()
{
	_at=$1
	_path=${2#/}/
	while [ -n "${_path}" ]; do
		_at=${_at}/${_path%%/*}
		_path=${_path#*/}
		if [ -L "${_at}" ] || { [ ! -d "${_at}" ] && ! mkdir "${_at}"; }; then
			say "${_at#"${root}"} is no folder, and packages are shown in none that a jail has led elsewhere"
			return 1
		fi
	done
}

# Shows a jail, in which nothing of its own runs, the packages of the lock and no others: packages_into ROOT
packages_into()
{
	packages_named=$(packages_name "$1")
	packages_unmount "$1" && folder_within "$1" "${packages_in_jail}" && folder_within "$1" /usr/local/etc/pkg/repos &&
	    rm -f "$1/usr/local/etc/pkg/repos/clawdie.conf" &&
	    packages_conf "$1" "${packages_in_jail}" > "$1/usr/local/etc/pkg/repos/clawdie.conf" &&
	    mount -t nullfs -o ro,nosuid "${packages_folder}" "$1${packages_in_jail}"
}

# Takes away what is mounted there, by a path that nobody in the jail can turn elsewhere, what was left by somebody who gave up
# included: packages_unmount ROOT
packages_unmount()
{
	while is_mounted "$1${packages_in_jail}"; do
		umount "$1${packages_in_jail}" || umount -f "$1${packages_in_jail}" || return 1
	done
}

# Takes the packages away again: packages_out JAIL ROOT
packages_out()
{
	packages_unmount "$2" || return 1
	ask_jail "$1" sh -c "rmdir ${packages_in_jail}
		rm -rf /usr/local/etc/pkg/repos/clawdie.conf /var/db/pkg/repos/${packages_named}"
}
