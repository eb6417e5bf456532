import { normalAddress, toNumber } from '../net.js';
import { readForward, readOpenPort, readSource } from '../ports.js';
import type { Forward, Port } from '../ports.js';
import { readLogHost, readTimeServers, readWan } from '../readers.js';
import type { LogHost, StaticWan } from '../readers.js';
import type { Reading } from '../reading.js';
import { isVirtual } from '../reserved.js';
import { list, path, text, whole, yesNo } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Network');

/** The internet side: addresses, services, and what the firewall lets in. */
export const NETWORK_KEYS = {
  EXT_IF: key(
    'auto',
    text<string>((input) =>
      input === 'auto' || (/^[a-z][a-z0-9_]{0,13}[0-9]$/.test(input) && !isVirtual(input))
        ? { value: input }
        : {
            message: 'must be "auto" or the name of an interface that a network card has, such as "vtnet0"',
            fix: 'write "auto"',
          },
    ),
    'Interface that faces the internet. "auto" asks the routing table at every boot.',
  ),
  WAN_IPV4: key(
    'dhcp',
    text<'dhcp' | StaticWan>((input) => readWan(input, 4, ['dhcp']) as Reading<'dhcp' | StaticWan>),
    'IPv4 of the internet side: "dhcp", or "address/prefix gateway".',
  ),
  WAN_IPV6: key(
    'slaac',
    text<'slaac' | 'off' | StaticWan>(
      (input) => readWan(input, 6, ['slaac', 'off']) as Reading<'slaac' | 'off' | StaticWan>,
    ),
    'IPv6 of the internet side: "slaac", "off", or "address/prefix gateway".',
  ),
  DNS: key(
    '',
    list<string>((item) => {
      const address = normalAddress(item);
      return address === undefined
        ? { message: 'must be IP addresses', fix: 'write it as "9.9.9.9 2620:fe::fe"' }
        : { value: address };
    }, 3),
    'Name servers, up to three addresses. Empty: those that DHCP or router advertisements name.',
  ),
  NTP: key(
    '',
    whole<'off' | readonly string[]>(readTimeServers),
    'Time servers, up to eight names or addresses. Empty: those of FreeBSD in pool.ntp.org. "off": nobody sets the clock.',
  ),
  SYSLOG: key(
    '',
    text<LogHost | undefined>(readLogHost),
    'Host that gets a copy of what is logged, over UDP: "log.example.org", "192.0.2.7:5514", "[2001:db8::7]:514".',
  ),
  HTTP: key(
    'yes',
    yesNo,
    'Whether nginx answers the internet on port 80: certificate renewals (ACME), anything else goes to HTTPS.',
  ),
  HTTPS: key(
    'yes',
    yesNo,
    'Whether nginx answers the internet on port 443: the agent UI. Until there is a certificate, with one that it signs itself.',
  ),
  AGENT_UI: key(
    '',
    text<string | undefined>((input) => {
      if (input === '') return { value: undefined };
      const [address = '', port = '', ...rest] = input.split(':');
      return toNumber(address) !== undefined &&
        rest.length === 0 &&
        /^[1-9][0-9]{0,4}$/.test(port) &&
        Number(port) <= 65535
        ? { value: input }
        : { message: 'must be an IPv4 address and a port', fix: 'write it as "127.0.0.1:8080"' };
    }),
    'What stands behind HTTPS: "address:port" where the agent UI speaks HTTP, on the host (127.0.0.1) or in a jail.',
    'Empty: nginx says that there is nothing (503).',
  ),
  ICMP_ECHO: key('no', yesNo, 'Whether the host answers ping from the internet.'),
  SSH_ALLOW: key(
    '',
    list<string>(readSource, 64),
    'Addresses and networks whose SSH has no limit of tries, and that are never banned: your monitoring, your Ansible.',
    'They come in over the internet where Tailscale has closed it to all others, too. Empty: none.',
  ),
  OPEN_PORTS: key(
    '',
    list<Port>(readOpenPort, 32),
    'Ports of the host that the internet reaches beside SSH, HTTP and HTTPS: "8443/tcp 51820/udp". Empty: none.',
  ),
  FORWARD_PORTS: key(
    '',
    list<Forward>(readForward, 32),
    'Ports of the host that lead to jails of JAILS, over IPv4: "8443/tcp=worker:443". Empty: none.',
  ),
  PF_RULES_FILE: key(
    '',
    path,
    'File with filter rules of your own for pf.conf (relative to this file); they come after the rules of the image.',
    'They are proved with them: what opens something that the policy closes is refused.',
  ),
  POLICY_EXCEPTIONS: key(
    '',
    list<string>(
      (item) =>
        /^[a-z][a-z0-9-]*$/.test(item)
          ? { value: item }
          : { message: 'must be names of policy rows', fix: 'see `clawdie-iso explain`' },
      20,
    ),
    'Rows of the policy that your rules may break, by the names that `clawdie-iso explain` shows. The build record says so.',
  ),
  BRUTEFORCE_EXPIRE: key(
    '86400',
    text<number>((input) =>
      /^[1-9][0-9]{1,7}$/.test(input)
        ? { value: Number(input) }
        : { message: 'must be a number of seconds, 10 or more', fix: 'write "86400" for a day' },
    ),
    'Seconds after which a host that tried SSH too often may try again.',
  ),
};
