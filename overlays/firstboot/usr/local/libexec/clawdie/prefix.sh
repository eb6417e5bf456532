# shellcheck shell=sh
# Networks of IPv6 addresses. To be read by other scripts.

# Prints the /64 of each IPv6 address of the input, a line each; other lines, and what is on one link alone, give nothing.
# Whoever has one address of a /64 has all of them (RFC 4291, 2.5.4), and pf counts single ones.
prefixes64()
{
	# shellcheck disable=SC2016 # The $ are awk's.
	awk '
	{ gsub(/[[:space:]]/, "") }
	!/:/ || /[.%\/]/ || tolower($0) ~ /^fe[89ab]/ || tolower($0) ~ /[^0-9a-f:]/ { next }
	{
		halves = split($0, half, "::")
		left = split(half[1], group, ":")
		right = halves == 2 ? split(half[2], ignored, ":") : 0
		for (i = left + 1; i <= 4; i++)
			group[i] = i > 8 - right ? ignored[i - 8 + right] : "0"
		net = ""
		for (i = 1; i <= 4; i++) {
			sub(/^0+/, "", group[i])
			net = net (group[i] == "" ? "0" : group[i]) ":"
		}
		print net ":/64"
	}'
}
