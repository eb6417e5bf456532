#!/bin/sh
# Run by devd(8), one at a time, when tailscale0 has got its name: loads the firewall rules once more, and has services
# listen on its address, which comes a moment later.
set -u

sleep 5
service pf_reload quietstart
service clawdie_listen quietstart
