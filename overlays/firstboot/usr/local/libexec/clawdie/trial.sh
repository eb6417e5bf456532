# Sourced by the tools whose changes are on trial: how clawdie-trial of the base image is asked. After common.sh and tool.sh; who
# confirms changes has tailnet.sh, jails.sh and checks.sh as well.
# shellcheck shell=sh disable=SC2154

trial_program=${root}/sbin/clawdie-trial
trial_folder=${root}/var/db/clawdie/trial

# Base images of before know nothing of trials.
need_trial()
{
	[ -e "${trial_program}" ] ||
	    fail "the base image of this instance has no trials of changes." "It needs an image of this release of the project: clawdie-state export, and install that."
}

# A folder of root's alone, for as long as this runs, in work_at where that says where: work_folder sets work
work_folder()
{
	umask 077
	_parent=${work_at:-${root}/var/db/clawdie}
	mkdir -p "${_parent}"
	work=$(mktemp -d "${_parent}/work.XXXXXX") || fail "the disk cannot be written to."
	trap 'rm -rf "${work}"' EXIT
}

# What clawdie-trial says of one thing, as "state", "what", "last.result": trial_says NAME
trial_says()
{
	[ ! -e "${trial_program}" ] || sh "${trial_program}" status | sed -n "s/^$1 //p"
}

# Puts rules on trial and waits for how it ends: try_rules WHAT FILE [FILE]. Who confirms is asked for as "CONFIRM confirm".
try_rules()
{
	need_trial
	_said=$(sh "${trial_program}" rules "$@") || fail "${_said}."
	echo "The new rules are in force on trial. Within 60 seconds, from a NEW connection, run:"
	echo "    ${tool} confirm"
	_left=120
	while sh "${trial_program}" waits && [ "${_left}" -gt 0 ]; do
		sleep 1
		_left=$((_left - 1))
	done
	! sh "${trial_program}" waits || fail "it has not ended yet." "See: clawdie-trial status"
	[ "$(trial_says last.result)" = "kept" ] ||
	    fail "the old rules are in force again: $(trial_says last.why)." "Nothing is lost. What holds, and what does not: clawdie-netcheck"
	say "confirmed"
}

# Whether what is on trial is of this tool: trial_is KIND WHAT
trial_is()
{
	need_trial
	_what=$(trial_says what)
	case "$(trial_says state) $(trial_says kind) ${_what}" in
	"pending $1 $2"*) ;;
	"pending "*) fail "what is on trial is ${_what}." "See: clawdie-trial status" ;;
	*) fail "there is nothing to confirm: nothing was changed, or it was taken back already." ;;
	esac
}

# Says who confirms (an address, or "console"), or ends: trial_login [--console]
trial_login()
{
	_code=0
	_client=$(sh "${trial_program}" login "$@") || _code=$?
	if [ "${_code}" -eq 75 ]; then
		echo "${_client}: ask again."
		exit 75
	fi
	[ "${_code}" -eq 0 ] || fail "${_client}." "Open a new SSH connection and run it there; on the console: ${tool} confirm --console"
}

# What keeps this instance from being well, a line each; nothing if it is. What is here alone because of the change on trial is in the
# folder of that (clawdie-trial). What fails is what is looked for: "set +e" has to be in force.
illness()
{
	results=
	check_firewall
	check_sshd
	check_route
	check_tailnet
	printf '%s' "${results}" | awk -F '\t' '$3 == "fail" { print $2 ": " $4 }'
	# The tailnet, where it was up before and is still asked for: its rules may be off.
	if [ -s "${trial_folder}/tailnet" ] && printf '%s' "${results}" | grep -q '	tailscale	none	'; then
		case "$(sysrc -n tailscaled_enable 2> /dev/null)" in
		[Yy][Ee][Ss]) echo "tailscale: it was up before, and is not now; see: tailscale status" ;;
		esac
	fi
	# What rules may cut, and SSH does not need: names, and connections to the internet.
	if [ -s "${trial_folder}/outbound" ]; then
		read -r _host _port < "${trial_folder}/outbound"
		timeout 15 nc -z -w 5 "${_host}" "${_port}" > /dev/null 2>&1 || echo "outbound: ${_host}:${_port} answered before, and does not now"
	fi
	# Jails that ran before.
	[ ! -e "${trial_folder}/jails" ] || while read -r _name; do
		[ -z "$(jail_line "${_name}")" ] || jail_runs "${_name}" || echo "jail: ${_name} does not run"
	done < "${trial_folder}/jails"
	return 0
}

# Ends with 75, so that it is asked again, as long as the instance is not well.
trial_well()
{
	_ill=$(set +e; illness)
	[ -n "${_ill}" ] || return 0
	echo "${_ill}" | sed 's/^/not yet: /'
	# Why they go, unless it gets well. A full disk keeps nobody from being told.
	echo "${_ill}" | sh "${trial_program}" against 2> /dev/null || true
	exit 75
}

# The decision, in one step, then what makes it last, for which a disk that is full has room: trial_keep COMMAND ...
trial_keep()
{
	trial_well
	find "${trial_folder}" -type f -exec fsync {} + || fail "the disk cannot be written to; nothing was confirmed." "See: dmesg(8)"
	# A connection that is cut now does not cut off what is half done.
	trap '' HUP INT PIPE TERM
	_said=$(sh "${trial_program}" keep) || fail "${_said}."
	if ! "$@"; then
		mv "${trial_folder}/kept" "${trial_folder}/pending"
		_said=$(sh "${trial_program}" back "it could not be made to last") || fail "${_said}."
		fail "it cannot be made to last: the rules before are in force again." "See: df; dmesg(8)"
	fi
	sh "${trial_program}" end
}
