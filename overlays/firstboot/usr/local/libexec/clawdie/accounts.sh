# Sourced, after common.sh, by what makes accounts of tenants: the first boot.
# shellcheck shell=sh disable=SC2154

# Whose private keys open the gate, and what sshd(8) reads of them (AuthorizedKeysFile).
turn_keys=${root}/etc/clawdie/turn
turn_gate=${root}/etc/clawdie/keys/root

# An account for the runtime of a tenant, by his name: nobody logs in to it with a password, and its key is for turns in
# the tenant's jails alone: add_account NAME
add_account()
{
	if ! pw usershow -n "$1" > /dev/null 2>&1; then
		pw useradd -n "$1" -c "Runtime of $1" -m -M 0700 -s /bin/sh -w no || return 1
		say "made the account $1"
	fi
	case "$(id -u "$1")" in
	[1-9][0-9][0-9][0-9] | [1-9][0-9][0-9][0-9][0-9]) ;;
	*)
		say "$1 is an account of the system: it gets no key"
		return 1
		;;
	esac
	mkdir -p "${turn_keys}"
	chmod 0755 "${turn_keys}"
	if [ ! -s "${turn_keys}/$1" ]; then
		rm -f "${turn_keys}/.new" "${turn_keys}/.new.pub"
		ssh-keygen -q -t ed25519 -N '' -C "$1" -f "${turn_keys}/.new" || return 1
		chown "$1" "${turn_keys}/.new" || return 1
		chmod 0400 "${turn_keys}/.new"
		mv -f "${turn_keys}/.new.pub" "${turn_keys}/$1.pub"
		mv -f "${turn_keys}/.new" "${turn_keys}/$1"
		say "made a key of $1"
	fi
}

# The accounts of all tenants, and none of those that are gone: their keys open nothing any more.
set_accounts()
{
	_names=
	_failed=
	for _tenant in ${TENANTS}; do
		_name=${_tenant%%:*}
		add_account "${_name}" || { _failed=yes; continue; }
		_names="${_names} ${_name}"
	done
	for _name in ${_names}; do
		printf 'restrict,from="127.0.0.1",command="/usr/local/libexec/clawdie/turn-gate.sh %s" %s\n' \
		    "${_name}" "$(cat "${turn_keys}/${_name}.pub")"
	done | write_file "${turn_gate}" 600
	for _key in "${turn_keys}"/*; do
		_name=${_key##*/}
		case " ${_names} " in
		*" ${_name%.pub} "*) ;;
		*) rm -f "${_key}" ;;
		esac
	done
	[ -z "${_failed}" ]
}
