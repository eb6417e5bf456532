/*
 * Asks the kernel what its pf does with packets: see lab.sh, which starts it in the jail.
 *
 *	referee [-v] DIRECTORY
 *
 * For each DIRECTORY/N.conf, N counting from 0: loads it with pfctl(8), whose reading goes to N.read, sends the packets of
 * N.packets, and writes to N.verdicts what pflog0 says of each. A line of N.packets is
 *
 *	WAY HEX
 *
 * where WAY is the interface that the packet comes in on, or "host" where the host sends it, and HEX the packet from its IP
 * header on. Identification (IPv4) or flow label (IPv6) is the number of its line, from 1: logged packets are known by it.
 * A line of N.verdicts is
 *
 *	NUMBER INTERFACE in|out ACTION REASON RULE SUBRULE SOURCE DESTINATION
 *
 * of struct pfloghdr (sys/net/if_pflog.h), for every rule that pf logs, in order; addresses are in hexadecimal. The first
 * line is what pfctl exited with. States are cleared behind each packet that was logged. With -v, stderr hears of each set and
 * packet before it is sent: a kernel that stops at one says no more.
 */
#include <sys/param.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <net/bpf.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_pflog.h>
#include <net/if_tun.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/netlink_generic.h>
#include <netlink/netlink_snl.h>
#include <netlink/netlink_snl_generic.h>
#include <netpfil/pf/pf_nl.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The interfaces of lab.sh, by what the jail calls them, and their devices. */
static struct way {
	const char *name, *device;
	int ethernet, fd;
} ways[] = {
	{ "em0", "/dev/tap70", 1, -1 },
	{ "em1", "/dev/tap71", 1, -1 },
	{ "em2", "/dev/tap72", 1, -1 },
	{ "feed0", "/dev/tun70", 0, -1 },
	{ "feed1", "/dev/tun71", 0, -1 },
};
#define	WAYS	(sizeof(ways) / sizeof(ways[0]))

static struct snl_state netlink;
static int family, pflog, raw;
static char *log_buffer;
static int verbose;
static u_int log_size;

static void
setup(void)
{
	struct ifreq ifr = { .ifr_name = "pflog0" };
	u_int on = 1;
	int yes = 1;

	for (size_t i = 0; i < WAYS; i++) {
		ways[i].fd = open(ways[i].device, O_RDWR | O_NONBLOCK);
		if (ways[i].fd < 0)
			err(1, "%s", ways[i].device);
		if (!ways[i].ethernet && ioctl(ways[i].fd, TUNSIFHEAD, &yes) < 0)
			err(1, "%s: TUNSIFHEAD", ways[i].device);
	}
	if ((raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW)) < 0 ||
	    setsockopt(raw, IPPROTO_IP, IP_HDRINCL, &yes, sizeof(yes)) < 0)
		err(1, "raw socket");
	log_size = 1 << 20;
	if ((pflog = open("/dev/bpf", O_RDONLY | O_NONBLOCK)) < 0 || ioctl(pflog, BIOCSBLEN, &log_size) < 0 ||
	    ioctl(pflog, BIOCIMMEDIATE, &on) < 0 || ioctl(pflog, BIOCSETIF, &ifr) < 0 ||
	    ioctl(pflog, BIOCGBLEN, &log_size) < 0)
		err(1, "pflog0");
	if ((log_buffer = malloc(log_size)) == NULL)
		err(1, NULL);
	if (!snl_init(&netlink, NETLINK_GENERIC) ||
	    (family = snl_get_genl_family(&netlink, PFNL_FAMILY_NAME)) == 0)
		errx(1, "no netlink for pf");
}

/* What "pfctl -F states" does. */
static void
clear_states(void)
{
	struct snl_errmsg_data e = {};
	struct snl_writer nw;
	struct nlmsghdr *hdr;
	uint32_t seq;

	snl_clear_lb(&netlink);
	snl_init_writer(&netlink, &nw);
	hdr = snl_create_genl_msg_request(&nw, family, PFNL_CMD_CLRSTATES);
	hdr->nlmsg_flags |= NLM_F_DUMP;
	if ((hdr = snl_finalize_msg(&nw)) == NULL)
		errx(1, "netlink message");
	seq = hdr->nlmsg_seq;
	if (!snl_send_message(&netlink, hdr))
		errx(1, "netlink");
	while (snl_read_reply_multi(&netlink, seq, &e) != NULL)
		;
	if (e.error != 0)
		errc(1, e.error, "clearing states");
}

/* Takes what interfaces sent away: nobody looks at it. */
static void
drain(void)
{
	char frame[65536];

	for (size_t i = 0; i < WAYS; i++)
		while (read(ways[i].fd, frame, sizeof(frame)) > 0)
			;
}

static void
print_hex(FILE *out, const u_char *bytes, size_t length)
{
	fputc(' ', out);
	while (length-- > 0)
		fprintf(out, "%02x", *bytes++);
}

/* Writes what was logged of a packet; how many lines that is. */
static int
read_log(FILE *out, u_int number)
{
	int found = 0;
	ssize_t got;

	while ((got = read(pflog, log_buffer, log_size)) > 0) {
		for (char *at = log_buffer; at < log_buffer + got;) {
			struct bpf_hdr *bh = (struct bpf_hdr *)at;
			struct pfloghdr *ph = (struct pfloghdr *)(at + bh->bh_hdrlen);
			u_char *ip = (u_char *)ph + PFLOG_HDRLEN;
			int v6 = ph->af == AF_INET6;
			u_int id = v6 ? (ip[1] & 15) << 16 | ip[2] << 8 | ip[3] : ip[4] << 8 | ip[5];

			at += BPF_WORDALIGN(bh->bh_hdrlen + bh->bh_caplen);
			if (bh->bh_caplen < PFLOG_HDRLEN + (v6 ? 40u : 20u) || id != number)
				continue;
			found++;
			fprintf(out, "%u %s %s %u %u %d %d", number, ph->ifname, ph->dir == 1 ? "in" : "out",
			    ph->action, ph->reason, (int)ntohl(ph->rulenr), (int)ntohl(ph->subrulenr));
			print_hex(out, ip + (v6 ? 8 : 12), v6 ? 16 : 4);
			print_hex(out, ip + (v6 ? 24 : 16), v6 ? 16 : 4);
			fputc('\n', out);
		}
	}
	return (found);
}

static void
send_packet(const char *way, u_char *packet, size_t length)
{
	/* lab.sh gives emN the address 02:00:00:00:00:0N. */
	u_char frame[2048] = { 2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0x99 };
	int v6 = packet[0] >> 4 == 6;

	if (strcmp(way, "host") == 0) {
		struct sockaddr_in to = { .sin_len = sizeof(to), .sin_family = AF_INET };

		memcpy(&to.sin_addr, packet + 16, 4);
		/* An error is a packet that pf dropped, or that has no way: the log says which. */
		(void)sendto(raw, packet, length, 0, (struct sockaddr *)&to, sizeof(to));
		return;
	}
	for (size_t i = 0; i < WAYS; i++) {
		size_t head = ways[i].ethernet ? ETHER_HDR_LEN : sizeof(uint32_t);

		if (strcmp(way, ways[i].name) != 0)
			continue;
		if (ways[i].ethernet) {
			uint16_t type = htons(v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);

			frame[5] = way[2] - '0';
			memcpy(frame + 12, &type, sizeof(type));
		} else {
			uint32_t af = htonl(v6 ? AF_INET6 : AF_INET);

			memcpy(frame, &af, sizeof(af));
		}
		memcpy(frame + head, packet, length);
		if (write(ways[i].fd, frame, head + length) < 0)
			err(1, "%s", way);
		return;
	}
	errx(1, "no way \"%s\"", way);
}

static void
play(const char *set)
{
	char command[4 * MAXPATHLEN], name[MAXPATHLEN], line[8192], way[16];
	FILE *packets, *out;
	u_int number = 0;
	int hex;

	snprintf(name, sizeof(name), "%s.verdicts", set);
	if ((out = fopen(name, "w")) == NULL)
		err(1, "%s", name);
	/* Without the tables of the last set: where one loses its counters and an address its "!", 15.1's kernel crashes. */
	(void)system("pfctl -q -F all > /dev/null 2>&1");
	snprintf(command, sizeof(command), "pfctl -o none -nvf %s.conf > %s.read 2>&1 && pfctl -q -o none -f %s.conf >> %s.read 2>&1",
	    set, set, set, set);
	fprintf(out, "%d\n", system(command) >> 8);
	clear_states();
	drain();
	read_log(out, 0);
	snprintf(name, sizeof(name), "%s.packets", set);
	if ((packets = fopen(name, "r")) == NULL)
		err(1, "%s", name);
	while (fgets(line, sizeof(line), packets) != NULL) {
		u_char packet[2000];
		size_t length = 0;
		u_int byte;

		number++;
		if (sscanf(line, "%15s %n", way, &hex) != 1)
			errx(1, "%s:%u: no packet", name, number);
		for (const char *at = line + hex; length < sizeof(packet) && sscanf(at, "%2x", &byte) == 1; at += 2)
			packet[length++] = byte;
		if (verbose)
			fprintf(stderr, "%s %u\n", set, number);
		send_packet(way, packet, length);
		if (read_log(out, number) > 0)
			clear_states();
		drain();
	}
	fclose(packets);
	if (fclose(out) != 0)
		err(1, "%s.verdicts", set);
}

int
main(int argc, char **argv)
{
	char set[MAXPATHLEN], conf[MAXPATHLEN];

	verbose = argc == 3 && strcmp(argv[1], "-v") == 0;
	if (argc != 2 + verbose)
		errx(2, "usage: referee [-v] directory");
	setup();
	for (u_int number = 0;; number++) {
		snprintf(set, sizeof(set), "%s/%u", argv[1 + verbose], number);
		snprintf(conf, sizeof(conf), "%s.conf", set);
		if (access(conf, R_OK) != 0)
			break;
		play(set);
	}
	return (0);
}
