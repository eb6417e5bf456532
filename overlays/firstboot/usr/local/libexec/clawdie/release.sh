# Sourced, after common.sh, tool.sh, trial.sh and release-carry.sh, by clawdie-update: a newer release or patch level as a boot
# environment of its own, which boots once, and stays if somebody confirms it (clawdie-trial). See bectl(8), zfs(8).
# shellcheck shell=sh disable=SC2154

environment=${root}/sbin/clawdie-environment
environments=clawdie/ROOT
# Those that are made here have this, so that no others are removed.
made=clawdie:made
# Where file systems are mounted meanwhile.
places=${root}/var/run/clawdie-release

# What runs beside the overlay, where the root is a pool.
environment_in_force()
{
	[ ! -e "${environment}" ] ||
	    sh "${environment}" current | sed "s/.*/ FreeBSD $(version_of "${root}"), in the boot environment &./"
}

# What a release is called by, as "15 1 amd64": parts_of RELEASE
parts_of()
{
	echo "$1" | sed -n 's/^\([0-9]\{1,4\}\)\.\([0-9]\{1,4\}\)-.*-\([a-z0-9]*\)$/\1 \2 \3/p'
}

# The version that a root is of, as "15.1-RELEASE-p2": version_of TREE
version_of()
{
	sed -n 's/^USERLAND_VERSION="\([A-Za-z0-9._-]*\)"$/\1/p' "$1/bin/freebsd-version" 2> /dev/null
}

# Its patch level, 0 where it has none: patch_of VERSION
patch_of()
{
	case "$1" in
	*-p[0-9]*) echo "${1##*-p}" | tr -cd '0-9' ;;
	*) echo 0 ;;
	esac
}

# Ends unless one release can follow another: follows NEW OLD
follows()
{
	_new=$(parts_of "$1")
	_old=$(parts_of "$2")
	case "${_new}/${_old}" in
	/* | */) fail "the releases \"$1\" and \"$2\" cannot be compared. Nothing was changed." ;;
	esac
	[ "${_new##* }" = "${_old##* }" ] || fail "it is for ${_new##* }, this is ${_old##* }. Nothing was changed."
	[ "${_new%% *}" -eq "${_old%% *}" ] ||
	    fail "it is another major release ($1, this is $2), with other packages. Nothing was changed." "Install it anew: clawdie-state export, then import."
	_new=${_new#* }
	_old=${_old#* }
	[ "${_new% *}" -ge "${_old% *}" ] || fail "it is an older release ($1, this is $2). Nothing was changed."
}

# All that was mounted and made for this goes, unless the new environment is whole.
release_over()
{
	trap '' HUP INT PIPE TERM
	for _place in new old image; do
		umount "${places}/${_place}" 2> /dev/null || true
	done
	[ -z "${release_disk}" ] || mdconfig -d -u "${release_disk}" 2> /dev/null || true
	[ -z "${release_snapshot}" ] || zfs destroy "${release_snapshot}" 2> /dev/null || true
	[ -z "${release_new}" ] || zfs destroy -r "${environments}/${release_new}" 2> /dev/null || true
	rm -rf "${work}"
}
release_disk=
release_snapshot=
release_new=
# What a refusal ends with, once there is something to tell.
unchanged="Nothing was changed."

# The root of a file as a tree, and its kernel, in the new environment: unpack_root FILE
unpack_root()
{
	_length=$(header_of length "$1")
	_kernel=$(header_of kernel "$1")
	case "${_kernel}" in
	"" | *[!0-9]* | ??????????*) return 1 ;;
	esac
	[ "${_kernel}" -lt "${_length}" ] || return 1
	tail -c "+$((513 + _kernel))" "$1" | head -c "$((_length - _kernel))" | gunzip > "${work}/image" || return 1
	release_disk=$(mdconfig -a -t vnode -o readonly -f "${work}/image") || return 1
	mount -o ro "${root}/dev/${release_disk}" "${places}/image" || return 1
	rm -f "${work}/failed"
	{
		tar -cf - --one-file-system -C "${places}/image" . || : > "${work}/failed"
	} | tar -xpf - -C "${places}/new" || return 1
	[ ! -e "${work}/failed" ] || return 1
	tail -c +513 "$1" | head -c "${_kernel}" | gunzip > "${places}/new/boot/kernel/kernel" || return 1
	chmod 555 "${places}/new/boot/kernel/kernel"
	umount "${places}/image" && mdconfig -d -u "${release_disk}" || return 1
	release_disk=
	rm -f "${work}/image"
	# Without these it boots nothing that could take itself back.
	for _file in boot/loader boot/lua/loader.lua boot/kernel/zfs.ko boot/kernel/pf.ko sbin/init sbin/clawdie-init sbin/clawdie-trial \
	    sbin/clawdie-environment; do
		[ -s "${places}/new/${_file}" ] || fail "its root has no /${_file}. ${unchanged}"
	done
}

# What tells of one environment: configure_new OLD NEW FILE
configure_new()
{
	sed "s|\"zfs:${environments}/$1\"|\"zfs:${environments}/$2\"|" "${places}/old/boot/loader.conf.local" > "${places}/new/boot/loader.conf.local" &&
	    grep -qF "zfs:${environments}/$2\"" "${places}/new/boot/loader.conf.local" || return 1
	# The loader does not wait for somebody where it finds no kernel; what loadelf() returns is of the modules.
	cat > "${places}/new/boot/lua/local.lua" <<-'LUA' || return 1
	-- On trial (clawdie-update release): without a kernel the boot environment before comes back. Removed once confirmed.
	require("config").loadelf()
	if loader.getenv("kernelname") == nil then
		loader.perform("reboot")
	end
	LUA
	_trust=${places}/new/var/db/clawdie/trust
	mkdir -p "${_trust}" && chmod 0700 "${places}/new/var/db/clawdie" "${_trust}" || return 1
	# In force here, and verified; a key in it may have been overwritten since it was signed.
	cat "${root}/etc/clawdie/applied" > "${_trust}/accepted" || return 1
	[ -z "$(header_of serial "$3")" ] || header_of serial "$3" > "${_trust}/root" || return 1
	# Jails of before have their base under the name that it had.
	_base_then=$(jail_release "$(cat "${root}/etc/clawdie/release")")
	_base_now=$(jail_release "$(header_of release "$3")")
	_bases=${places}/new/usr/local/bastille/releases
	[ "${_base_then}" = "${_base_now}" ] || [ ! -d "${_bases}/${_base_now}" ] || [ -e "${_bases}/${_base_then}" ] || ln -s "${_base_now}" "${_bases}/${_base_then}"
}

# What Bastille calls the base of a release: jail_release RELEASE
jail_release()
{
	echo "${1%-*}" | sed 's/-p[0-9]*$//'
}

# release FILE [SLOT]
release()
{
	need_trial
	[ -e "${environment}" ] ||
	    fail "the base image of this instance has no updates of its release." "It needs an image of this release of the project: clawdie-state export, and install that."
	_current=$(sh "${environment}" current)
	[ -n "${_current}" ] ||
	    fail "the root of this instance is no pool: there is one root, and no second one to try." "For a newer release install it anew: clawdie-state export, then import. INSTALL_FS=\"zfs\" can be updated."
	zfs list -H -o name "${environments}/${_current}@base" > /dev/null 2>&1 ||
	    fail "this instance was installed by an older image: what is its own cannot be told from its release." "Install it anew: clawdie-state export, then import."
	sh "${environment}" boots "${_current}" ||
	    fail "the boot environment that runs (${_current}) is not the one that boots." "Choose first: bectl list, bectl activate NAME, reboot."
	work_folder
	mkdir -p "${places}"
	exec 9> "${places}/lock"
	lockf -s -t 0 9 || fail "another release is being made ready here."
	trap release_over EXIT
	trap 'exit 1' HUP INT PIPE TERM
	! sh "${trial_program}" waits || fail "a change waits for its confirmation, or is being taken back." "See: clawdie-trial status"
	if [ "$1" = "-" ]; then
		cat > "${work}/root" || fail "it cannot be kept while it is looked at: the disk is full. Nothing was changed."
	else
		[ -f "$1" ] || fail "$1 is no file."
		cat < "$1" > "${work}/root" || fail "it cannot be kept while it is looked at: the disk is full. Nothing was changed."
	fi
	_reason=$(sh "${trust}" check-root "${work}/root") || fail "it is refused: ${_reason:-it cannot be verified}. Nothing was changed."
	_release=$(header_of release "${work}/root")
	_running=$(cat "${root}/etc/clawdie/release")
	follows "${_release}" "${_running}"
	take_slot "${2-}" "${_release}" "${_running}"
	_name=${_release}-$(header_of sha256 "${work}/root" | cut -c 1-8)
	if [ "${_name}" = "${_current}" ]; then
		echo "It is in force already."
		exit 3
	fi
	make_environment "${_current}" "${_name}" "${_release}"
	try_environment "${_name}"
}

# The overlay of another release, beside its root: take_slot SLOT NEW OLD
take_slot()
{
	if [ -z "$1" ]; then
		[ "$2" = "$3" ] || fail "the overlay in force is for $3, and this is $2. Nothing was changed." "Give a slot for it as well: clawdie-iso overlay --slot, with FREEBSD_VERSION of that release."
		return 0
	fi
	[ -f "$1" ] || fail "$1 is no file."
	head -c $((slot_size + 1)) < "$1" > "${work}/slot" || fail "it cannot be kept while it is looked at: the disk is full."
	[ "$(wc -c < "${work}/slot")" -eq "${slot_size}" ] || fail "$1 is no slot. Nothing was changed." "Write it with: clawdie-iso overlay --slot FILE"
	_reason=$(sh "${trust}" check --release "$2" "${work}/slot") || fail "the slot is refused: ${_reason:-it cannot be verified}. Nothing was changed."
}

# Boot environments that were installed, or made here, but the one that runs, and those that others were made of (bectl create),
# which zfs(8) does not remove: earlier CURRENT
earlier()
{
	sh "${environment}" list | while read -r _each; do
		if [ "${_each}" = "$1" ] || zfs list -H -t snapshot -o clones -d 1 "${environments}/${_each}" | grep -qv '^-*$'; then
			continue
		fi
		if [ "$(zfs get -H -o value "${made}" "${environments}/${_each}")" = "yes" ] ||
		    zfs list -H -o name "${environments}/${_each}@base" > /dev/null 2>&1; then
			echo "${_each}"
		fi
	done
}

# make_environment CURRENT NAME RELEASE
make_environment()
{
	earlier "$1" > "${work}/earlier"
	_free=$(zfs get -Hp -o value available "${environments}")
	while read -r _other; do
		_free=$((_free + $(zfs get -Hp -o value used "${environments}/${_other}")))
	done < "${work}/earlier"
	_needed=$(($(zfs get -Hp -o value referenced "${environments}/$1") + 4 * $(wc -c < "${work}/root")))
	[ "${_free}" -gt "${_needed}" ] ||
	    fail "the pool has $((_free / 1048576)) MB, and this takes $((_needed / 1048576)). Nothing was changed."
	# The one before and the new one are kept: there is no way back behind those. What somebody else has made stays.
	while read -r _other; do
		zfs destroy -r "${environments}/${_other}" || fail "the boot environment ${_other} cannot be removed." "See: bectl list"
		unchanged="The boot environment ${_other} is gone; nothing else was changed."
	done < "${work}/earlier"
	echo "Making the boot environment $2 ..."
	mkdir -p "${places}/image" "${places}/old" "${places}/new"
	zfs create -o mountpoint=/ -o canmount=noauto -o "${made}=yes" "${environments}/$2" ||
	    fail "the boot environment cannot be made. ${unchanged}" "See: zpool status"
	release_new=$2
	mount -t zfs "${environments}/$2" "${places}/new" ||
	    fail "the boot environment cannot be mounted. ${unchanged}" "See: zpool status"
	if ! unpack_root "${work}/root" || ! zfs snapshot "${environments}/$2@base"; then
		fail "its root cannot be unpacked: it is damaged, or the disk is full. ${unchanged}" "See: zpool list; dmesg(8)"
	fi
	_was=$(version_of "${root}")
	_is=$(version_of "${places}/new")
	if [ "$3" = "$(cat "${root}/etc/clawdie/release")" ] && [ "$(patch_of "${_is}")" -lt "$(patch_of "${_was}")" ]; then
		fail "it is an older patch level (${_is}, this is ${_was}). ${unchanged}"
	fi
	# What sysrc(8) set stands in rc.conf, which is the overlay's. 3: pf.conf is somebody's own.
	sh "${root}/usr/local/libexec/clawdie/state-back.sh" > /dev/null || [ $? -eq 3 ] ||
	    fail "the state of this instance is not in order. ${unchanged}" "See: clawdie-state show"
	release_snapshot=${environments}/$1@carried
	zfs destroy "${release_snapshot}" 2> /dev/null || true
	if ! zfs snapshot "${release_snapshot}" || ! mount -t zfs "${release_snapshot}" "${places}/old" ||
	    ! zfs diff -FH "${environments}/$1@base" "${release_snapshot}" > "${work}/changes" ||
	    ! carry "${work}/changes" "${places}/old" "${places}/new" "$(jail_release "$(cat "${root}/etc/clawdie/release")")" ||
	    ! carry_accounts "${places}/old" "${places}/new" ||
	    ! derive "${places}/new" ||
	    ! configure_new "$1" "$2" "${work}/root"; then
		fail "what is of this instance cannot be brought along: the disk is full, or fails. ${unchanged}" "See: zpool list; dmesg(8)"
	fi
	echo "FreeBSD ${_was} becomes ${_is}; $(carried) files and folders of this instance go along."
	if grep -q '^left ' "${work}/changed"; then
		echo "Files among those of the base system stay behind, in $1:"
		sed -n 's/^left /    \//p' "${work}/changed" | head -n 20
	fi
}

# try_environment NAME
try_environment()
{
	# A connection that is cut now does not cut off what is half done.
	trap '' HUP INT PIPE TERM
	sync
	set -- release "another release, $(version_of "${places}/new")" "$1" "${places}/new"
	[ ! -e "${work}/slot" ] || set -- "$@" "${work}/slot"
	_said=$(sh "${trial_program}" "$@") || fail "${_said}."
	release_new=
	release_over
	trap - EXIT
	restart_on_trial
}
