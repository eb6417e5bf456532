# Sourced, after common.sh and tool.sh, by what makes jails or has to know of them: clawdie-jail, clawdie-tenant,
# rc.d/clawdie_jaildisk. Bastille makes the jails; here are their plan, their file systems and their limits.
# shellcheck shell=sh

# Jails of the overlay; those that were made on the instance; those of the overlay that were taken away on it. A line
# each: name tenant network address template memory processes cpu disk.
jails_planned=${root}/etc/clawdie/jails
jails_added=${root}/var/db/clawdie/jails.added
jails_gone=${root}/var/db/clawdie/jails.gone
# File systems of jails on an installed instance with UFS.
jails_disks=${root}/var/db/clawdie/jaildisks
# The name of the jail that is being made, or was when the power failed.
jails_making=${jails_disks}/making
jails_folder=${root}/usr/local/bastille/jails

# Nobody else makes jails or tenants, takes them away or copies them meanwhile: jails_alone PROGRAM ARGUMENT ...
jails_alone()
{
	[ -z "${CLAWDIE_JAILS_ALONE-}" ] || return 0
	CLAWDIE_JAILS_ALONE=yes
	export CLAWDIE_JAILS_ALONE
	lockf -s -k -t 0 "${root}/var/run/clawdie-jails.lock" true ||
	    echo "${0##*/}: waiting: jails are being made, removed or copied just now (see /var/log/clawdie-jails.log)" >&2
	exec lockf -k "${root}/var/run/clawdie-jails.lock" "$@"
}

# Descriptor 9 is that of the lock of turns in a jail, for lockf(1): open_turns NAME
open_turns()
{
	(umask 077 && mkdir -p "${root}/var/run/clawdie")
	exec 9> "${root}/var/run/clawdie/turn.$1"
}

# The line of every jail that there should be. One that was made on the instance stands for one of the overlay of that name.
jails_plan()
{
	{
		sed 's/^/gone /' "${jails_gone}" 2> /dev/null || true
		cat "${jails_added}" "${jails_planned}" 2> /dev/null || true
	} | awk '
	$1 == "gone" && NF == 2 { gone[$2] = 1; next }
	NF < 9 || /^#/ || $1 in gone || seen[$1]++ { next }
	{ print }'
}

# The line of one jail, or nothing: jail_line NAME
jail_line()
{
	jails_plan | awk -v name="$1" '$1 == name { print; exit }'
}

jail_exists()
{
	[ -e "${jails_folder}/$1/jail.conf" ]
}

jail_runs()
{
	jls -j "$1" jid > /dev/null 2>&1
}

# Ends a jail that runs, whether it wants to end or not: jail_stop NAME
jail_stop()
{
	jail_runs "$1" || return 0
	bastille stop "$1" < /dev/null > /dev/null 2>&1 || true
	# One that bastille(8) alone has made decides itself whether it ends.
	! jail_runs "$1" || jail -R "$1" 2> /dev/null || true
	! jail_runs "$1"
}

# One command in a jail, as root, for its exit code alone. Root in the jail decides what it does: it has a terminal of its own and not
# the caller's, on which it could type; nobody hears what it says, and waits for it longer than 30 seconds: ask_jail NAME COMMAND ...
ask_jail()
{
	timeout --foreground -k 5 30 script -q /dev/null jexec "$@" < /dev/null > /dev/null 2>&1
}

# Has jail(8) begin and end a jail by jail-rc, whoever starts it, and not without the rules for /dev; and has it stay when its last
# process ends, which would leave mounts that keep it from being started: guard_jail NAME
guard_jail()
{
	_conf=${jails_folder}/$1/jail.conf
	awk -v "folder=/usr/local/libexec/clawdie" '
	/^[[:space:]]*exec\.(start|stop|consolelog)[[:space:]]*=/ || index($0, "\"" folder "/") { next }
	/^[[:space:]]*persist;/ { stays = 1 }
	/^}/ {
		if (!stays) print "  persist;"
		print "  exec.prestart += \"" folder "/devfs-guard\";"
		print "  exec.poststart += \"" folder "/jail-rc start\";"
		print "  exec.prestop += \"" folder "/jail-rc stop\";"
	}
	{ print }' "${_conf}" | write_file "${_conf}" 644 > /dev/null || return 1
	! jail_runs "$1" || jail -m "name=$1" persist
}

# A tenant's bridge, net and gateway: tenant_of NAME sets tenant, bridge, net, gateway
tenant_of()
{
	for _tenant in ${TENANTS}; do
		[ "${_tenant%%:*}" = "$1" ] || continue
		tenant=${_tenant%%:*}
		_tenant=${_tenant#*:}
		bridge=${_tenant%%:*}
		_tenant=${_tenant#*:}
		net=${_tenant%%:*}
		gateway=${_tenant#*:}
		return 0
	done
	return 1
}

# What the root file system is: md (a live image, in memory), ufs or zfs.
root_kind()
{
	_kind=$(mount -p | awk '$2 == "/" { print $3 }')
	if [ "${_kind}" != "zfs" ] && [ ! -e "${root}/etc/clawdie/installed" ]; then
		_kind=md
	fi
	echo "${_kind}"
}

# Bytes of a limit: amount BYTES|SHARE% OF
amount()
{
	case "$1" in
	*%) echo $(($2 / 100 * ${1%\%})) ;;
	*) echo "$1" ;;
	esac
}

machine_memory()
{
	sysctl -n hw.physmem
}

# ---- File systems: each jail has one of its own, so that a full one is full for that jail alone.

# Bytes that a jail's file system gets: where it is memory, a sixteenth of that at most.
disk_bytes()
{
	_bytes=$1
	if [ "$(root_kind)" = "md" ]; then
		_most=$(($(machine_memory) / 16))
		[ "${_bytes}" -le "${_most}" ] || _bytes=${_most}
	fi
	echo "${_bytes}"
}

# Bytes of the file system of a jail on UFS, which stays as large as it was made, or nothing: disk_made NAME
disk_made()
{
	[ ! -f "${jails_disks}/$1.img" ] || echo "$(($(wc -c < "${jails_disks}/$1.img")))"
}

# What there is of the file system of a jail, a name of it, or nothing: disk_left NAME
disk_left()
{
	case "$(root_kind)" in
	zfs) zfs list -H -o name "clawdie/bastille/jails/$1" 2> /dev/null || true ;;
	ufs)
		if [ -e "${jails_disks}/$1.img" ]; then
			echo "${jails_disks#"${root}"}/$1.img"
		elif [ -n "$(ls -A "${jails_folder}/$1/root" 2> /dev/null)" ]; then
			echo "${jails_folder#"${root}"}/$1"
		fi
		;;
	esac
}

# Makes the file system of a jail and mounts it: disk_make NAME BYTES. Under ZFS Bastille makes it: see disk_bound.
disk_make()
{
	_root=${jails_folder}/$1/root
	_image=${jails_disks}/$1.img
	case "$(root_kind)" in
	zfs) return 0 ;;
	md)
		mkdir -p "${_root}"
		mount -t tmpfs -o "rw,mode=755,size=$(disk_bytes "$2")" tmpfs "${_root}"
		return
		;;
	esac
	mkdir -p -m 0700 "${jails_disks}"
	if [ ! -e "${_image}" ]; then
		# All of it is taken now: a disk that is full later must not damage what a jail has.
		_blocks=$(($2 / 1048576))
		_free=$(df -m "${jails_disks}" | awk 'NR == 2 { print $4 }')
		if [ "${_free}" -lt $((_blocks + 256)) ]; then
			echo "${tool}: there are ${_free} MB free, and the file system of $1 would take ${_blocks}; 256 stay free" >&2
			return 1
		fi
		(
			umask 077
			dd if=/dev/zero of="${_image}.new" bs=1m count="${_blocks}" 2> /dev/null
		) || { rm -f "${_image}.new"; return 1; }
		_unit=$(mdconfig -a -t vnode -f "${_image}.new") || { rm -f "${_image}.new"; return 1; }
		if ! newfs -U "/dev/${_unit}" > /dev/null; then
			mdconfig -d -u "${_unit}"
			rm -f "${_image}.new"
			return 1
		fi
		mdconfig -d -u "${_unit}"
		mv "${_image}.new" "${_image}"
	fi
	disk_mount "$1"
}

# The memory disk that a jail's file system is on, or nothing: disk_unit NAME
disk_unit()
{
	mdconfig -l -v 2> /dev/null | awk -v file="${jails_disks}/$1.img" '$NF == file || $4 == file { print $1; exit }'
}

# Mounts the file system of a jail, unless it is mounted: disk_mount NAME
disk_mount()
{
	_root=${jails_folder}/$1/root
	! is_mounted "${_root}" || return 0
	_unit=$(disk_unit "$1")
	[ -n "${_unit}" ] || _unit=$(mdconfig -a -t vnode -f "${jails_disks}/$1.img") || return 1
	fsck_ffs -p "/dev/${_unit}" > /dev/null || fsck_ffs -y "/dev/${_unit}" > /dev/null || return 1
	mkdir -p "${_root}"
	mount -o rw,noatime "/dev/${_unit}" "${_root}"
}

# disk_unmount NAME
disk_unmount()
{
	_root=${jails_folder}/$1/root
	if mount -p | awk -v folder="${_root}" '$2 == folder && $3 != "zfs" { found = 1 } END { exit !found }'; then
		umount "${_root}" || umount -f "${_root}" || return 1
	fi
	_unit=$(disk_unit "$1")
	[ -z "${_unit}" ] || mdconfig -d -u "${_unit}"
}

# Takes away what disk_make has made: disk_remove NAME
disk_remove()
{
	disk_unmount "$1" || return 1
	rm -f "${jails_disks}/$1.img" "${jails_disks}/$1.img.new"
}

# Bounds what Bastille has made under ZFS: disk_bound NAME BYTES. What the jail writes alone: what Bastille keeps of it stands in the
# dataset above, which a jail that has filled its own leaves room in.
disk_bound()
{
	[ "$(root_kind)" != "zfs" ] || {
		zfs set "quota=$2" "clawdie/bastille/jails/$1/root" && zfs set quota=none "clawdie/bastille/jails/$1"
	}
}

# ---- Limits: rctl(8), in the file that Bastille reads when it starts the jail.

# limits_set NAME MEMORY PROCESSES CPU
limits_set()
{
	_memory=$(machine_memory) && _memory=$(amount "$2" "${_memory}") || return 1
	_file=${jails_folder}/$1/rctl.conf
	if ! {
		# Memory that is used, and memory that is promised: the first is only reclaimed, the second refused. Each process
		# is promised some 12 MB, and a shell uses 2 of them.
		echo "jail:$1:memoryuse:deny=${_memory}/jail"
		echo "jail:$1:swapuse:deny=$((_memory * 2))/jail"
		echo "jail:$1:maxproc:deny=$3/jail"
		echo "jail:$1:nthr:deny=$(($3 * 4))/jail"
		echo "jail:$1:openfiles:deny=$(($3 * 32))/jail"
		echo "jail:$1:pseudoterminals:deny=32/jail"
		echo "jail:$1:shmsize:deny=${_memory}/jail"
		echo "jail:$1:pcpu:deny=$4/jail"
	} | write_file "${_file}" 644 > /dev/null; then
		echo "${tool}: the limits of $1 cannot be written to ${_file#"${root}"}; those that it has stay. See: df" >&2
		return 1
	fi
	jail_runs "$1" || return 0
	rctl -r "jail:$1" 2> /dev/null || true
	while read -r _rule; do
		rctl -a "${_rule}" || return 1
	done < "${_file}"
}

# Whether the jails of a tenant, with one more, take no more together than TENANT_LIMITS lets it have:
# tenant_holds TENANT NAME MEMORY PROCESSES CPU DISK
tenant_holds()
{
	jails_plan | awk -v tenant="$1" -v name="$2" -v memory="$(machine_memory)" \
	    -v limits="${TENANT_LIMITS-- - - -}" -v own="$3 $4 $5 $6" '
	function bytes(value) {
		return value ~ /%$/ ? memory / 100 * substr(value, 1, length(value) - 1) : value + 0
	}
	function add(first, second, third, fourth) {
		sum[1] += bytes(first); sum[2] += second; sum[3] += third; sum[4] += fourth
	}
	$2 == tenant && $1 != name { add($6, $7, $8, $9) }
	END {
		split(own, mine, " "); add(mine[1], mine[2], mine[3], mine[4])
		split("memory processes cpu disk", label, " ")
		split(limits, most, " ")
		for (i = 1; i <= 4; i++)
			if (most[i] != "-" && most[i] != "" && sum[i] > bytes(most[i])) {
				printf "%s: %d, and %d is all that tenants may have\n", label[i], sum[i], bytes(most[i])
				exit 1
			}
	}'
}
