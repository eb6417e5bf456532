#!/bin/sh
# Who may log in: the password hash of root, where the deployment names one (without one the account stays locked for
# passwords, as clawdie-init left it), and an account for the runtime of each tenant.

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
