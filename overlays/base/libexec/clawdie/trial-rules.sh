# Sourced by clawdie-trial: rules of pf on trial. A boot loads /etc/pf.conf, so that none goes on with others.
# shellcheck shell=sh disable=SC2154

# The rules of /etc/pf.conf again, or if they do not load the fallback. Of two that load rules at once one fails, and nothing is wrong
# with its file then (EBUSY: tickets in pf_ioctl.c).
old_rules()
{
	pfctl -q -f "${root}/etc/pf.conf" || { sleep 1 && pfctl -q -f "${root}/etc/pf.conf"; } || pfctl -q -f "${root}/etc/pf-fallback.conf"
}

# Puts rules on trial: begin_rules WHAT FILE [FILE]; the last is kept for whoever confirms, and is there until it has its place.
begin_rules()
{
	local _outbound

	# What answers now is to answer with these rules, too.
	_outbound=
	! timeout 15 nc -z -w 5 "${outbound% *}" "${outbound#* }" > /dev/null 2>&1 || _outbound=${outbound}
	begin rules "$1"
	if ! cp "$2" "${trial}/rules" || { [ -n "${3-}" ] && ! cp "$3" "${trial}/file"; }; then
		cancel "the rules cannot be read; nothing was changed"
	fi
	pfctl -q -n -f "${trial}/rules" || cancel "the rules do not load; nothing was changed"
	note_tailnet
	[ -z "${_outbound}" ] || echo "${_outbound}" > "${trial}/outbound"
	note phase new || cancel "the root file system cannot be written; nothing was changed"
	# First what takes it back, then the change.
	daemon -f "$0" watch "$(value token)" || cancel "daemon(8) failed; nothing was changed"
	if ! pfctl -q -f "${trial}/rules"; then
		echo "the rules could not be loaded" > "${trial}/why"
		back
		refuse "the rules could not be loaded; the old ones are in force"
	fi
	[ ! -e "${trial}/file" ] || mv -f "${trial}/rules" "${trial}/meant"
	rules_in_force > "${trial}/checksum"
	# Whoever is connected by now was let in by the rules before. Until this is there nobody confirms.
	if ! sockstat -46cqw -P tcp -p 22 2> /dev/null | awk '{ gsub(/[][]/, "", $NF); print $NF }' | sort -u | put connections; then
		echo "the root file system could not be written" > "${trial}/why"
		back
		refuse "the root file system cannot be written; the old rules are in force"
	fi
}

# What tells the rules in force from others: pf's own sum of its filter rules.
rules_in_force()
{
	pfctl -v -s info 2> /dev/null | sed -n 's/^Checksum: //p'
}

# Ends unless a login is let in by the rules on trial. Others may have been loaded meanwhile, as by "service pf reload".
proves_rules()
{
	if [ ! -e "${trial}/connections" ]; then
		echo "the rules are not in force yet"
		exit 75
	fi
	[ "$(rules_in_force)" = "$(cat "${trial}/checksum" 2> /dev/null)" ] ||
	    refuse "somebody has loaded other rules since, so this proves nothing; those of before come back by themselves"
}

# Whether what was confirmed has not got its place: a power cut came in between. One that has may be here by its old name as well.
unkept_rules()
{
	find "${trial}" -links 1 \( -name file -o -name rules \) | grep -q .
}

undo_rules()
{
	old_rules && return 0
	echo "neither /etc/pf.conf nor /etc/pf-fallback.conf loads: the rules on trial are in force until one does, or until a restart" > "${trial}/why"
	refuse "$(why)"
}
