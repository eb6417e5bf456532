import { makeView } from '../../build/overlay/view.js';
import { configOf } from './config.js';

/** A deployment of two tenants, one of whose jails is reached from the internet, for tests of packets of its cells. */
export const cellsConfig = configOf({
  TENANTS: 'igor',
  JAILS: 'worker',
  FORWARD_PORTS: '2222/tcp=worker:22',
});

export const cellsSituation = {
  view: makeView(cellsConfig),
  tailscaleActive: false,
  fallback: false,
  egressKnown: true,
};
