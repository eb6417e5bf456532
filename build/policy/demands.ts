import type { Situation } from './world.js';
import type { Zone, ZoneKind } from './zones.js';

/** Zones that nobody who is not the host itself speaks to, whatever the rows say of single crossings. */
const HOST_ONLY = new Set<ZoneKind>(['loopback']);
/** Where packets come from whom nobody has invited. */
const STRANGERS = new Set<ZoneKind>(['card', 'other']);
const JAILS = new Set<ZoneKind>(['plain', 'vnet']);
const OWN = new Set<ZoneKind>(['host', 'loopback']);

/**
 * Whether the design wants nothing at all to get from a zone to another: tenants reach nobody of another tenant, nobody
 * crosses the host from outside to outside, a jail's packets leave towards the internet alone, and nothing comes from a
 * card or tunnel that is not the host's way to the internet. What is wanted of the other pairs, the rows say.
 */
export function mustBeClosed(from: Zone, to: Zone, { view, tailscaleActive, fallback }: Situation): boolean {
  if (OWN.has(from.kind)) return false;
  // Neighbour discovery comes from every link.
  if (STRANGERS.has(from.kind)) return to.kind !== 'host';
  if (HOST_ONLY.has(to.kind)) return true;
  if (JAILS.has(from.kind)) {
    if (JAILS.has(to.kind)) return from.tenant !== to.tenant;
    if (to.kind === 'host') return false;
    return to.kind !== 'internet' || fallback;
  }
  // A redirect leads to jails, if a row says so.
  if (from.kind === 'internet') return to.kind !== 'host' && !JAILS.has(to.kind);
  // The tailnet.
  if (to.kind === 'host') return false;
  return !(JAILS.has(to.kind) && view.tailnetToJails && tailscaleActive && !fallback);
}
