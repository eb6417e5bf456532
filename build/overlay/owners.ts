/**
 * Whose a file of an instance is. What an overlay brings is replaced and removed with it, so that it must bring none that
 * the instance or its operator keeps (docs/state.md; on the instance state.sh and clawdie-state know the same).
 */
export type Owner = 'overlay' | 'instance' | 'operator';

const INSTANCE =
  /^(?:etc\/ssh\/ssh_host_.*|etc\/(?:hostid|machine-id)|etc\/clawdie\/(?:applied|installed|released?)|var\/db\/tailscale(?:\/.*)?|var\/db\/clawdie\/(?:jails\.(?:added|gone)|overlay\.(?:files|came)|(?:state|trust|trial|notify|jaildisks)(?:\/.*)?))$/;
const OPERATOR = new Set(['etc/rc.conf.local', 'etc/pf.conf.d/local.conf']);

/** @param path without a slash in front */
export function ownerOf(path: string): Owner {
  if (OPERATOR.has(path)) return 'operator';
  return INSTANCE.test(path) ? 'instance' : 'overlay';
}
