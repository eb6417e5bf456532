# Sourced by clawdie-install and rc.d/clawdie_grow: how a disk with two roots is divided, and what is on the partition of data,
# which is the same for both.
# shellcheck shell=sh disable=SC2034

# Two roots without being asked for: where the disk has so many megabytes.
ab_least_mb=8192
# What one has then, at most.
ab_most_mb=16384
data_least_mb=1024
# What lies on the partition of data, and where it is seen.
data_at=/data
data_folders="home:/home log:/var/log jails:/usr/local/bastille/jails backups:/usr/local/bastille/backups
    jaildisks:/var/db/clawdie/jaildisks"

# Megabytes of each of two roots: a quarter of the disk, or what one needs: root_of DISK_MB NEEDED_MB
root_of()
{
	local _root

	_root=$(($1 / 4))
	[ "${_root}" -le "${ab_most_mb}" ] || _root=${ab_most_mb}
	[ "${_root}" -ge "$2" ] || _root=$2
	echo "${_root}"
}

# make_data DEVICE
make_data()
{
	newfs -U -j -L clawdiedata "$1" > /dev/null
}

# Lines of fstab(5): each folder of data where it is expected.
data_lines()
{
	local _each

	printf '/dev/gpt/clawdie-data\t%s\t\tufs\trw\t\t\t2\t2\n' "${data_at}"
	for _each in ${data_folders}; do
		printf '%s/%s\t%s\tnullfs\trw\t\t\t0\t0\n' "${data_at}" "${_each%%:*}" "${_each#*:}"
	done
}
