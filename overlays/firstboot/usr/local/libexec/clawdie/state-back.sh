#!/bin/sh
# Brings what belongs to this instance into what its overlay has put in place: settings, tenants, and whether SSH is with
# the tailnet alone. Run by clawdie-init around an overlay, by rc.d/clawdie_state before the firewall, and by clawdie-state.
# It can be run at any time, and changes nothing where all is in place. Ends with 3 where pf.conf has no Tailscale block
# for an instance that needs it.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"
# shellcheck source=SCRIPTDIR/tailnet.sh
. "${0%/*}/tailnet.sh"
# shellcheck source=SCRIPTDIR/state.sh
. "${0%/*}/state.sh"

# The firewall first: nothing else that fails keeps it from that.
restore_tailnet
keep_settings
restore_tenants
