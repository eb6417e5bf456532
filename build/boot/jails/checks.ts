/** What is looked at of the jails of an instance, with Bastille. */
export const JAIL_CHECKS = {
  plan: 'the jails of the plan exist and run',
  'by-hand': 'bastille create makes a plain jail and a VNET one, as typed by hand',
  templates: 'all templates apply',
  devices: 'no jail sees or opens a device of the host',
  dhclient: 'no address is asked for on a jail’s host side',
  'host-closed': 'a plain jail finds no service of the host at its own address or at 127.0.0.1',
  reach: 'jails reach the internet, and neither the host nor what is forbidden',
  pairs: 'jails and guests of one tenant reach each other, those of two do not',
  'ways-in': 'what OPEN_PORTS, FORWARD_PORTS and SSH_ALLOW let in comes in, as often as it likes',
  'host-ports': 'jails reach the ports of the host that JAIL_HOST_PORTS names',
  turn: 'a turn runs as the worker, on no terminal of the host, within its time, and leaves nothing',
  limits: 'limits are in force',
  stages: 'clawdie-netcheck says of each stage that it holds',
  documents: 'the commands of the documents do what these say',
  'flood-fork': 'the operator logs in while a jail forks without end',
  'flood-memory': 'the operator logs in while a jail takes all memory that it gets',
  'flood-disk': 'the operator logs in while a jail fills its disk',
  'flood-connections': 'the operator logs in while a jail floods the network',
  'flood-syn': 'the operator logs in under a flood of connections that nobody completes',
} as const;
export type JailCheck = keyof typeof JAIL_CHECKS;

/** The same of an instance on a disk after a restart. */
export const RESTART_CHECK = 'restarted';
