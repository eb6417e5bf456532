#!/bin/sh
# Run when an address or a default route has come, changed or gone.
set -u

[ ! -x /etc/rc.d/clawdie_egress ] || service clawdie_egress quietstart
[ ! -x /etc/rc.d/clawdie_listen ] || service clawdie_listen quietstart
[ ! -x /etc/rc.d/clawdie_dns ] || service clawdie_dns refresh
