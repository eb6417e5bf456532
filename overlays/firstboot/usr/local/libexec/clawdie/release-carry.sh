# Sourced, after common.sh and tool.sh, by clawdie-update: what goes along from one boot environment into the next. That is all
# that the newer release does not have, and what was changed since the environment was of its release alone (mark_base of
# release-KIND.sh); but not what the overlay brings (the next boot brings it again), nor what is in folders of the base system: programs
# and libraries of before would undo what the newer release mends.
# shellcheck shell=sh disable=SC2154

# Folders of the base system, and what is made anew or tells of one environment.
carry_system="bin sbin lib libexec rescue boot sys usr/bin usr/sbin usr/lib usr/lib32 usr/libdata usr/libexec usr/include
    usr/share usr/src usr/obj usr/tests"
carry_own="dev proc mnt media tmp .snap .sujournal var/run var/tmp var/db/clawdie/trial var/db/clawdie/packages.new var/db/clawdie/packages.old var/db/clawdie/overlay.files var/db/clawdie/base.mtree.gz var/db/clawdie/root.name etc/clawdie/applied
    etc/clawdie/release etc/passwd etc/master.passwd etc/group etc/pwd.db etc/spwd.db etc/ssl/certs etc/ssl/untrusted
    etc/ssl/cert.pem etc/login.conf.db"
# Where the base system has files of its own beside those of others: what is unchanged there, and gone from the newer release,
# was its own.
carry_mixed="etc/rc.d etc/defaults etc/periodic etc/mtree etc/pam.d etc/autofs etc/devd etc/newsyslog.conf.d etc/syslog.d"

# Of the changes, as zfs(8) prints them (diff -FH), those of somebody's own, a line each, with paths as it prints them: "there PATH" for
# what is of interest where the newer release has it too, "sure PATH" for what goes along in any case, "left PATH" for
# what does not, of which somebody has to know: changed CHANGES RELEASE
changed()
{
	touch "${root}/var/db/clawdie/overlay.files"
	awk -F '\t' -v "overlay=${root}/var/db/clawdie/overlay.files" -v "base=$(echo ${carry_system})" -v "own=$(echo ${carry_own})" \
	    -v "mixed=$(echo ${carry_mixed})" -v "jails=usr/local/bastille/releases/$2" '
	function list(words, into,    parts, count) {
		count = split(words, parts, " ")
		for (; count > 0; count--) into[parts[count]] = 1
	}
	# Whether a path is one of a list, or below it.
	function below(path, of,    at) {
		for (at = path; at != ""; at = substr(at, 1, match(at, /\/[^\/]*$/) ? RSTART - 1 : 0))
			if (at in of) return 1
		return 0
	}
	BEGIN {
		list(base, bases)
		list(own, owns)
		list(mixed, mixeds)
		owns[jails] = 1
		# What is made in /boot for each start, or goes along by itself; and what somebody may have set there.
		list("boot/entropy boot/nextboot.conf boot/loader.conf.local boot/lua/local.lua", made)
		list("boot/loader.conf boot/device.hints", settings)
		while ((getline line < overlay) > 0) brought[line] = 1
	}
	# Sockets, pipes and devices are made anew by who needs them; a folder has changed since something in it has.
	$1 !~ /^[+MR]$/ || $2 !~ /^[F@\/]$/ || ($1 == "M" && $2 == "/") { next }
	{
		path = $1 == "R" ? $4 : $3
		sub(/^\/+/, "", path)
		if (path == "" || path in brought || below(path, owns) || path ~ /^var\/db\/clawdie\/(work\.|overlay\.files)/) next
		if (!below(path, bases)) print (below(path, mixeds) ? "sure" : "there"), path
		else if ($2 != "/" && ($1 == "+" ? !(path in made) && path !~ /^boot\/kernel\// : path in settings)) print "left", path
	}' "$1"
}

# Paths of a list as zfs(8) prints them, each ended by a zero byte and below ".": paths LIST NEW
paths()
{
	while read -r _kind _path; do
		case "${_path}" in
		*\\*) _plain=$(printf '%b.' "${_path}") && _plain=${_plain%.} ;;
		*) _plain=${_path} ;;
		esac
		if [ "${_kind}" = "sure" ] || { [ "${_kind}" = "there" ] && { [ -e "$2/${_plain}" ] || [ -L "$2/${_plain}" ]; }; }; then
			printf '%s\000' "./${_plain}"
		fi
	done < "$1"
}

# Paths below OLD that NEW does not have, likewise: absent OLD NEW RELEASE
absent()
(
	cd "$1" || exit 1
	_new=$2
	set -- -path "./usr/local/bastille/releases/$3" -o -path './var/db/clawdie/work.*' -o -path './var/db/clawdie/overlay.files*'
	for _each in ${carry_system} ${carry_own} ${carry_mixed}; do
		set -- "$@" -o -path "./${_each}"
	done
	# shellcheck disable=SC2016 # of the other sh
	find . -xdev \( "$@" \) -prune -o ! -path . \( -type f -o -type d -o -type l \) -exec sh -c '
		new=$1
		shift
		for each; do
			[ -e "${new}/${each}" ] || [ -L "${new}/${each}" ] || printf "%s\\000" "${each}"
		done' sh "${_new}" {} +
)

# Copies files of a list, whose names may be anything: copy LIST OLD NEW. What is there already, and may have other names
# (those of the base of jails), is not written into but replaced.
copy()
{
	[ -s "$1" ] || return 0
	rm -f "${work}/failed"
	{
		tar -cf - --no-recursion --null -C "$2" -T "$1" || : > "${work}/failed"
	} | tar -xpUf - -C "$3" && [ ! -e "${work}/failed" ]
}

# Copies what goes along: carry CHANGES OLD NEW RELEASE; RELEASE is what Bastille calls the one before.
carry()
{
	changed "$1" "$4" > "${work}/changed" &&
	    paths "${work}/changed" "$3" > "${work}/paths" &&
	    absent "$2" "$3" "$4" > "${work}/absent" || return 1
	# Of the overlay before, and of nothing else in the newer release.
	while read -r _path; do
		[ -e "$3/${_path}" ] || [ -L "$3/${_path}" ] || echo "${_path}"
	done < "${root}/var/db/clawdie/overlay.files" > "${work}/brought"
	copy "${work}/absent" "$2" "$3" || return 1
	while read -r _path; do
		if [ -L "$3/${_path}" ] || [ -f "$3/${_path}" ]; then
			rm -f "$3/${_path}" || return 1
		fi
	done < "${work}/brought"
	copy "${work}/paths" "$2" "$3"
}

# How many files and folders went along.
carried()
{
	cat "${work}/absent" "${work}/paths" | tr -cd '\000' | wc -c | tr -d ' '
}

# The lines of two lists with names before the first colon: those of the first, and what only the second has: both OURS THEIRS
both()
{
	awk -F : 'NR == FNR { ours[$1] = 1; print; next } !($1 in ours)' "$1" "$2"
}

# Accounts are the instance's; those that the newer release adds come to them: carry_accounts OLD NEW
carry_accounts()
{
	both "$1/etc/group" "$2/etc/group" > "${work}/group" &&
	    both "$1/etc/master.passwd" "$2/etc/master.passwd" > "${work}/master.passwd" &&
	    rm -f "$2/etc/group" "$2/etc/master.passwd" "$2/etc/passwd" &&
	    install -m 0644 "${work}/group" "$2/etc/group" &&
	    install -m 0600 "${work}/master.passwd" "$2/etc/master.passwd" &&
	    pwd_mkdb -p -d "$2/etc" "$2/etc/master.passwd"
}

# What is made of other files is made of those of the new root: authorities that it no longer trusts are gone. derive NEW
derive()
(
	umask 022
	if [ -d "$1/usr/share/certs/trusted" ]; then
		certctl -D "$1/" rehash > /dev/null || exit 1
	fi
	[ ! -f "$1/etc/login.conf" ] || cap_mkdb "$1/etc/login.conf"
)
