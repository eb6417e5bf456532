# Sourced, after common.sh, tool.sh, jails.sh and medium.sh, by clawdie-jail: templates of bastille(8), in jails that are just made and in
# jails that are there already, whose root may have changed anything in them.
# shellcheck shell=sh disable=SC2154

# Whether a word can be the name of a template: is_template USER/NAME
is_template()
{
	case "$1" in
	[!A-Za-z0-9]* | *[!A-Za-z0-9_./-]* | */*/*) return 1 ;;
	*/*) return 0 ;;
	*) return 1 ;;
	esac
}

# The first command of a template, or of those that it includes, that writes into a jail's tree from the host: it would go wherever links
# of the jail lead. Those that are known not to are named: template_leads TEMPLATE
template_leads()
{
	template_lines "$1" | awk '
	BEGIN {
		split("arg arg+ cmd config copy cp include limit limits overlay pkg rdr restart service start stop sysrc tag tags", words, " ")
		for (i in words) known[words[i]] = 1
	}
	NF == 0 || $1 ~ /^#/ || tolower($1) in known || found { next }
	{ print $1; found = 1 }'
}

# Whether a template is applied with packages of the lock: those of this project are, where the lock has all that they name. Says so
# where it has not: template_packages TEMPLATE
template_packages()
{
	if ! packages_locked || ! packages_wanted "$1"; then
		return 1
	fi
	_lacking=$(packages_lacking "$1" | tr '\n' ' ')
	[ -n "${_lacking}" ] || return 0
	say "the lock does not have ${_lacking% }, which $1 installs: that comes from FreeBSD's repositories, and needs the network now; to have it in the image, name $1 in JAILS of build.cfg and lock anew (make lock)"
	return 1
}

# bastille(8) in a session and on a terminal of its own, on which programs of the jail may type; they have no file of the host's:
# template_session JAIL TEMPLATE [ARGUMENT ...]
template_session()
{
	# shellcheck disable=SC2016
	: | PATH=${root}/usr/local/libexec/clawdie/template:${PATH} NO_COLOR=yes script -q /dev/null \
	    sh -c 'stty -onlcr; exec bastille template "$@" <&3 3<&-' bastille "$@" 3<&0 < /dev/null 2>&1
}

# Applies a template, and passes on what is said of it, without what a terminal would obey. Packages are those of the lock where there is
# one; a jail that may have something running (used) is stopped while their folder is mounted into its tree:
# apply_template new|used JAIL TEMPLATE [ARGUMENT ...]
apply_template()
{
	_state=$1
	shift
	_tree=${jails_folder}/$1/root
	_ready=yes
	_shows=no
	if template_packages "$2"; then
		_shows=yes
		# What is held against the lock is what is mounted: clawdie-update packages brings no others in between.
		exec 8> "${packages_bringing}"
		{ lockf -s -t 60 8 || { say "other packages are being brought just now: clawdie-update packages"; false; }; } &&
		    packages_open && packages_verify catalogue asked needed other npm &&
		    { [ "${_state}" = "new" ] || jail_stop "$1"; } && packages_into "${_tree}" || _ready=no
		exec 8>&-
	fi
	jail_runs "$1" || bastille start "$1" < /dev/null || _ready=no
	_applied=
	if [ "${_ready}" = "yes" ]; then
		exec 4>&1
		_applied=$({
			if template_session "$@" 3>&- 4>&-; then echo yes >&3; fi | LC_ALL=C tr -cd '\011\012\015\040-\176' >&4
		} 3>&1)
		exec 4>&-
	fi
	[ "${_shows}" = "no" ] || packages_out "$1" "${_tree}" || say "packages of the lock are still seen in $1"
	jail_settle "$1"
	[ "${_applied}" = "yes" ]
}

# A jail as it will be once it is started again: it runs nothing that its template has switched off: jail_settle NAME
jail_settle()
{
	jail_runs "$1" || return 0
	for _service in cron syslogd; do
		ask_jail "$1" service "${_service}" enabled || ask_jail "$1" service "${_service}" onestop || true
	done
}

# clawdie-jail template JAIL USER/NAME [--arg NAME=VALUE ...]
template()
{
	name=${1-}
	case "${name}" in
	# bastille(8) takes a word for all jails.
	'' | *[!A-Za-z0-9_-]* | [!A-Za-z0-9]* | all | ALL) misused "template needs the name of a jail" ;;
	# jexec(8) takes a number for a jail's id.
	*[!0-9]*) ;;
	*) misused "template needs the name of a jail, not a number" ;;
	esac
	is_template "${2-}" || misused "template needs the name of a template, as clawdie/worker"
	template=$2
	shift 2
	arguments=
	while [ $# -gt 0 ]; do
		[ "$1" = "--arg" ] || misused "\"$1\" is not understood"
		case "${2-}" in
		# bastille(8) has sh(1) evaluate it.
		*[!A-Za-z0-9_=./:@%+,-]* | [!A-Za-z_]*) misused "--arg is NAME=VALUE, of letters, digits and _./:@%+,-" ;;
		*=*) ;;
		*) misused "--arg is NAME=VALUE" ;;
		esac
		arguments="${arguments} --arg $2"
		shift 2
	done
	need_bastille
	jail_exists "${name}" || fail "there is no jail ${name}." "See: clawdie-jail list"
	template_lines "${template}" > /dev/null ||
	    fail "there is no template ${template}, or one that it includes is not here." \
	        "They are folders with a Bastillefile in /usr/local/bastille/templates; another one: bastille bootstrap"
	leads=$(template_leads "${template}")
	[ -z "${leads}" ] ||
	    fail "${template} is not applied to a jail that is there: ${leads} would write where its root can lead it." \
	        "Make the jail anew: clawdie-jail create ${name} --template ${template}"
	open_turns "${name}"
	lockf -s -t 0 9 || fail "a turn is going on in ${name}, or another template is applied to it." "Wait for its end."
	guard_jail "${name}"
	# shellcheck disable=SC2086
	apply_template used "${name}" "${template}" ${arguments} 9>&- ||
	    fail "the template ${template} could not be applied to ${name}; what it had done until then is there." \
	        "Mend what stands above, then: clawdie-jail template ${name} ${template}"
	say "${template} is applied to ${name}"
}
