# Sourced by clawdie-environment: two roots of a disk, "a" and "b", each a partition. The boot code looks at their attributes:
# one with bootonce and bootme is tried first, and loses bootme before it is; then the first with bootme alone boots. Under
# BIOS and UEFI alike, see gptboot(8), gptboot.efi(8). rc.d/gptboot takes bootonce away once file systems are mounted,
# so that any restart is of the one with bootme.
# shellcheck shell=sh disable=SC2154

ab_labels="clawdie-root clawdie-root-b"
# What is in the folder of data, which both see, was left to say by one of them.
ab_data=/data
# What of a root is its release's: as tar(1) writes mtree(5).
ab_base=var/db/clawdie/base.mtree.gz

# A line each: name, disk, index, attributes or "-". Both have to be on one disk, and there once.
ab_parts()
{
	gpart show -l | awk -v "labels=${ab_labels}" '
	BEGIN { split(labels, label, " "); name[label[1]] = "a"; name[label[2]] = "b" }
	$1 == "=>" { disk = $4 }
	$4 in name && $3 ~ /^[0-9]+$/ {
		line[++count] = name[$4] " " disk " " $3 " " ($5 ~ /^\[/ ? "," substr($5, 2, length($5) - 2) "," : "-")
		disks[disk] = names[name[$4]] = 1
	}
	END {
		for (each in disks) many++
		for (each in names) both++
		if (count != 2 || many != 1 || both != 2) exit 1
		print line[1]
		print line[2]
	}'
}

# Changes attributes of one, in this order: ab_attributes NAME set|unset ATTRIBUTE ...
ab_attributes()
{
	local _at

	_at=$(ab_parts | awk -v "name=$1" '$1 == name { print $2, $3 }')
	[ -n "${_at}" ] || return 1
	shift
	while [ $# -gt 0 ]; do
		change_table "${_at% *}" "$1" -a "$2" -i "${_at#* }" || return 1
		shift 2
	done
}

ab_other()
{
	case "$1" in
	a) echo b ;;
	b) echo a ;;
	esac
}

ab_current()
{
	mount -p | awk -v "labels=${ab_labels}" '
	BEGIN { split(labels, label, " ") }
	$2 == "/" && $1 == "/dev/gpt/" label[1] { print "a" }
	$2 == "/" && $1 == "/dev/gpt/" label[2] { print "b" }'
}

ab_list()
{
	ab_parts | awk '{ print $1 }'
}

# The first that is not to be tried alone.
ab_boots()
{
	[ "$(ab_parts | awk '$4 ~ /,bootme,/ && $4 !~ /,bootonce,/ { print $1; exit }')" = "$1" ]
}

ab_once()
{
	ab_attributes "$1" unset bootfailed set bootonce
}

# The one that does not run. With bootonce gone and bootme there it would boot from then on, were it the first; the other way round
# boot code passes it over.
ab_never()
{
	ab_attributes "$(ab_other "$(ab_current)")" unset bootme unset bootonce
}

# Until the last step the one before boots, or this one does.
ab_keep()
{
	ab_attributes "$1" unset bootonce set bootme && ab_attributes "$(ab_other "$1")" unset bootonce unset bootme && ab_boots "$1"
}

# Whether the partition of data is mounted.
ab_mounted()
{
	mount -p | awk -v "at=${ab_data}" '$2 == at { found = 1 } END { exit !found }'
}

# Runs what follows with the partition of data mounted; clawdie-init, and a boot that stopped, are from before rc(8) mounts it:
# ab_with_data ro|rw COMMAND ...
ab_with_data()
{
	local _code _mounted

	_mounted=
	if ! ab_mounted; then
		mount -o "$1" "${root}/dev/gpt/clawdie-data" "${root}${ab_data}" 2> /dev/null && _mounted=yes
	fi
	shift
	"$@"
	_code=$?
	[ -z "${_mounted}" ] || umount "${root}${ab_data}"
	return "${_code}"
}

ab_note()
{
	ab_with_data rw ab_write "$@"
}

ab_write()
{
	ab_mounted || return 1
	echo "$2" > "${root}${ab_data}/why.$1.new" && mv -f "${root}${ab_data}/why.$1.new" "${root}${ab_data}/why.$1"
}

ab_noted()
{
	ab_with_data ro cat "${root}${ab_data}/why.$1" 2> /dev/null
}

# What is in a tree, a line each, but for what is mounted there and what is made anew.
ab_tree()
{
	tar -cf - --format mtree --options 'mtree:!all,mtree:type,mtree:mode,mtree:uid,mtree:gid,mtree:link,mtree:sha256' \
	    --one-file-system --exclude './dev/*' --exclude './.sujournal' --exclude './.snap' --exclude './var/run/*' \
	    --exclude './var/tmp/*' --exclude "./${ab_base}*" --exclude './var/db/clawdie/work.*' -C "$1" .
}

ab_mark()
{
	mkdir -p "$1/${ab_base%/*}" && ab_tree "$1" > "$1/${ab_base}.txt" && gzip -c "$1/${ab_base}.txt" > "$1/${ab_base}" || return 1
	rm -f "$1/${ab_base}.txt"
}

# As zfs(8) prints differences (diff -FH), with what was made ("+") and changed ("M"). Names are encoded by both.
ab_changes()
{
	{
		gunzip -c "$1/${ab_base}" && echo && ab_tree "$1" && echo complete
	} | awk '
	BEGIN { kind["file"] = "F"; kind["dir"] = "/"; kind["link"] = "@" }
	$0 == "" { now = 1 }
	$0 == "complete" { complete = 1 }
	$1 !~ /^\.\// { next }
	!now { before[$1] = $0; next }
	{
		change = !($1 in before) ? "+" : before[$1] != $0 ? "M" : ""
		if (change == "") next
		type = $0
		sub(/.* type=/, "", type)
		sub(/ .*/, "", type)
		if (!(type in kind)) next
		path = substr($1, 2)
		gsub(/\\/, "\\0", path)
		print change "\t" kind[type] "\t" path
	}
	END { exit !complete }'
}
