#!/bin/sh
# Who may log in: the password hash of root, where the deployment names one (clawdie-init of base images of before has not set it; without
# one it has locked the account for passwords), and an account for the runtime of each tenant.

# shellcheck source=SCRIPTDIR/common.sh
. "${0%/*}/common.sh"
# shellcheck source=SCRIPTDIR/accounts.sh
. "${0%/*}/accounts.sh"

hash_file=${root}/var/db/clawdie/root.hash
if [ -s "${hash_file}" ]; then
	pw usermod -n root -H 0 < "${hash_file}"
	rm -f "${hash_file}"
	say "set the password hash of root"
fi
set_accounts
