# shellcheck shell=sh
# Networks of IPv6 addresses. To be read by other scripts.

# Prints "ENTRY NET" for each entry of the input that is an IPv6 address or a /64, the latter the net that it is of; other
# lines, and what is on one link alone, give nothing.
# Whoever has one address of a /64 has all of them (RFC 4291, 2.5.4), and pf counts single ones.
prefixes64()
{
	# shellcheck disable=SC2016 # The $ are awk's.
	awk '
	{
		entry = $1
		address = tolower(entry)
		sub(/\/64$/, "", address)
	}
	NF != 1 || address !~ /:/ || address ~ /^fe[89ab]/ || address ~ /[^0-9a-f:]/ { next }
	{
		halves = split(address, half, "::")
		left = split(half[1], group, ":")
		right = halves == 2 ? split(half[2], ignored, ":") : 0
		for (i = left + 1; i <= 4; i++)
			group[i] = i > 8 - right ? ignored[i - 8 + right] : "0"
		net = ""
		for (i = 1; i <= 4; i++) {
			sub(/^0+/, "", group[i])
			net = net (group[i] == "" ? "0" : group[i]) ":"
		}
		print entry, net ":/64"
	}'
}
