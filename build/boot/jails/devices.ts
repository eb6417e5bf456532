import type { DeployedJail } from '../deployed.js';
import type { Step } from '../steps.js';

/** Devices of the host that no jail may see, as patterns of names below /dev, and names that would be there. */
const DEVICES =
  /^(?:mem|kmem|io|md\d+|mdctl|pf|bpf\d*|pass\d+|cd\d+|ada\d+\S*|da\d+\S*|vtbd\d+\S*|gpt|ufs|iso9660|label|geom\.ctl|kvm|nvme\S*|xpt\d+|devctl\d*|devstat|pci|speaker|ttyu\d+|ttyv\d+|console|consolectl|sndstat)$/m;
const OPENED =
  'mem kmem io md0 md1 mdctl pf bpf bpf0 pass0 pass1 cd0 ada0 ada0p1 geom.ctl pci devctl gpt/clawdie-slot ufs/clawdieroot ttyu0 console';

/** No jail has devices of the host. */
export function deviceSteps(jails: readonly DeployedJail[], check: string): readonly Step[] {
  return [
    // What is not there could not be seen: it is.
    { name: 'devices-host', check, typed: 'ls /dev', shows: [/^mem$/m, /^pf$/m, /^bpf$/m] },
    ...jails.flatMap(({ name }): readonly Step[] => [
      {
        name: `devices-${name}`,
        check,
        typed: `jexec ${name} ls /dev`,
        shows: [/^null$/m],
        hides: [DEVICES],
      },
      {
        name: `devices-open-${name}`,
        check,
        typed: `for device in ${OPENED}; do\n\tjexec ${name} sh -c ": < /dev/$device" 2> /dev/null && echo "opened /dev/$device"\ndone\necho tried`,
        shows: [/^tried$/m],
        hides: [/^opened/],
      },
    ]),
  ];
}
