# Sourced, after common.sh, tool.sh, tailnet.sh and jails.sh, by what looks whether this instance is well: clawdie-netcheck,
# clawdie-update, clawdie-status. What fails is what is looked for here: "set +e" has to be in force.
# shellcheck shell=sh disable=SC2154

# For awk(1): a word as JSON has it.
awk_text='
	function text(value) {
		gsub(/\\/, "\\\\", value)
		gsub(/"/, "\\\"", value)
		gsub(/[\001-\037]/, " ", value)
		return "\"" value "\""
	}'

results=
# What was found: found GROUP NAME ok|fail|none DETAIL. What a jail has said may be in it: nothing that a terminal would obey stays.
found()
{
	results="${results}$1	$2	$3	$(printf '%s' "$4" | LC_ALL=C tr -c ' -~' ' ')
"
	[ "$3" != "fail" ] || eval "failed_$1=\"\${failed_$1:-$2}\""
}

# Whether nothing of a group failed.
holds()
{
	eval "[ -z \"\${failed_$1-}\" ]"
}

# The file of the rules that are meant: those on trial, as long as some are.
rules_meant()
{
	if grep -qx 'kind rules' "${root}/var/db/clawdie/trial/pending" 2> /dev/null; then
		for _meant in "${root}/var/db/clawdie/trial/meant" "${root}/var/db/clawdie/trial/rules"; do
			[ ! -e "${_meant}" ] || { echo "${_meant}"; return; }
		done
	fi
	echo "${root}/etc/pf.conf"
}

# Rules as pfctl(8) prints them, each once, in no order: its optimizer has one that goes by the groups that are there. Without what is
# not given back (timeouts of a rule), what is in braces, and names that it makes up for tables.
rule_lines()
{
	sed -n -E '/^((no )?(scrub|nat|rdr|binat)|pass|block|match|(nat-|rdr-|binat-)?anchor) /{
		s/, [a-z]+\.[a-z]+ [0-9]+//g
		s/ \([a-z]+\.[a-z]+ [0-9]+\)//
		s/<__automatic_[0-9a-f_]+>/<__automatic>/g
		s/ \{$//
		p
	}' | sort -u
}

# Whether rules in force, as pfctl(8) shows them, are those of a file as it is now: are_of RULES FILE
are_of()
{
	[ "$(echo "$1" | rule_lines)" = "$(pfctl -n -v -f "$2" 2> /dev/null | rule_lines)" ]
}

# The firewall: on, its file loads, and its rules are in force.
check_firewall()
{
	_meant=$(rules_meant)
	if pfctl -s info 2> /dev/null | grep -q '^Status: Enabled'; then
		found access firewall ok "pf is on"
	else
		found access firewall fail "pf is off; turn it on: service pf start"
	fi

	if _error=$(pfctl -n -f "${_meant}" 2>&1); then
		found access rules ok "${_meant#"${root}"} loads"
	else
		found access rules fail "${_meant#"${root}"} does not load: ${_error}"
	fi

	_inforce=$(pfctl -q -s rules 2> /dev/null)
	case "${_inforce}" in
	"") found access inforce fail "no rules are in force; load them: service pf reload" ;;
	*'anchor "bastille/*"'*)
		# Rules on trial are told by their checksum (clawdie-trial).
		if [ "${_meant}" != "${root}/etc/pf.conf" ]; then
			found access inforce none "rules on trial are in force: clawdie-trial status"
		elif are_of "$(pfctl -q -s nat 2> /dev/null)
${_inforce}" "${_meant}"; then
			found access inforce ok "the rules of /etc/pf.conf are in force"
		else
			found access inforce fail "other rules are in force than /etc/pf.conf has now; load those: service pf reload"
		fi
		;;
	*) found access inforce fail "the fallback is in force; mend /etc/pf.conf, then: service pf reload" ;;
	esac
}

# The sockets of the host, not of its jails, that wait for somebody: COMMAND PROTOCOL ADDRESS:PORT
listeners()
{
	# Without -w an address is cut off at 21 characters.
	sockstat -46lqw -j 0 2> /dev/null | awk '{ print $2, $5, $6 }'
}

# Whether a command waits on a TCP port: listens COMMAND PORT
listens()
{
	listeners | awk -v "command=$1" -v "port=:$2" '
	$1 == command && $2 ~ /^tcp/ && substr($3, length($3) - length(port) + 1) == port { found = 1 }
	END { exit !found }'
}

check_sshd()
{
	if listens sshd 22; then
		found access sshd ok "sshd listens on port 22"
	else
		found access sshd fail "nothing listens on port 22; start it: service sshd start"
	fi
}

check_tailnet()
{
	_block=$(block_of "$(rules_meant)" 2> /dev/null)
	_block=${_block#* }
	_lost="public SSH is closed: on the console, clawdie-tailscale disable"
	if ! command -v tailscale > /dev/null 2>&1; then
		if [ "${_block}" = "on" ]; then
			found access tailscale fail "not installed, and ${_lost}"
		else
			found access tailscale none "not installed; SSH is public"
		fi
	elif ! tailscale status > /dev/null 2>&1; then
		if [ "${_block}" = "on" ]; then
			found access tailscale fail "not up, and ${_lost}"
		else
			found access tailscale none "not up; SSH is public"
		fi
	elif ! ifconfig tailscale0 > /dev/null 2>&1; then
		found access tailscale fail "up, but tailscale0 does not exist: service tailscaled restart"
	else
		found access tailscale ok "up, tailscale0 is there, its rules are ${_block}"
	fi
}

# What faces the internet.
check_route()
{
	_egress=$(ifconfig -g egress 2> /dev/null | tr '\n' ' ')
	_route=$(route -n get default 2> /dev/null | sed -n 's/^ *interface: //p')
	if [ -z "${_route}" ]; then
		found host route fail "there is no default route"
	elif [ -z "${_egress}" ]; then
		found host route fail "nothing is in the group egress; run: service clawdie_egress start"
	else
		case " ${_egress} " in
		*" ${_route} "*) found host route ok "the internet is at ${_route}" ;;
		*) found host route fail "the default route is by ${_route}, egress is ${_egress}; run: service clawdie_egress start" ;;
		esac
	fi
}

# Why a jail of the plan does not run, or nothing: idle NAME
idle()
{
	if ! jail_exists "$1"; then
		echo "is not there: service clawdie_jails start, then see /var/log/clawdie-jails.log"
	elif ! jail_runs "$1"; then
		echo "does not run: bastille start $1"
	fi
}

# What a jail lacks of its line in the plan, or nothing: lacks NAME TENANT NETWORK ADDRESS TEMPLATE MEMORY PROCESSES CPU DISK
lacks()
{
	_idle=$(idle "$1")
	if [ -n "${_idle}" ]; then
		echo "${_idle}"
		return
	fi
	_vnet=$(jls -j "$1" vnet 2> /dev/null)
	case "$3 ${_vnet}" in
	"vnet new" | "plain inherit") ;;
	*) echo "is no ${3} jail: clawdie-jail destroy $1; clawdie-jail create $1 --network $3" ;;
	esac
	# rctl(8) says what is in force.
	_rules=$(rctl "jail:$1" 2> /dev/null | sed 's|/jail$||')
	for _rule in "memoryuse:deny=$(amount "$6" "$(machine_memory)")" "maxproc:deny=$7" "pcpu:deny=$8"; do
		echo "${_rules}" | grep -qxF "jail:$1:${_rule}" ||
		    echo "has not its limit of ${_rule%%:*}: service clawdie_jails start"
	done
	case "$(jls -j "$1" devfs_ruleset 2> /dev/null)" in
	4 | 13 | 14) ;;
	*) echo "has no rules for /dev: bastille restart $1" ;;
	esac
	# Looked at from here: what the jail itself says proves nothing.
	_seen=
	for _node in mem kmem pf gpt ufs md[0-9]* bpf* pass[0-9]* cd[0-9]*; do
		for _path in "${jails_folder}/$1/root/dev/"${_node}; do
			[ ! -e "${_path}" ] || _seen="${_seen}${_path##*/} "
		done
	done
	[ -z "${_seen}" ] || echo "sees ${_seen% } of the host in /dev: bastille stop $1"
}
