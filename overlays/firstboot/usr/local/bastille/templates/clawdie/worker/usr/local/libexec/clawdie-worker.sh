#!/bin/sh
# Run in a jail by the templates of workers: the user whom turns run as, without a password, in a home of its own.
set -eu

if ! pw usershow worker > /dev/null 2>&1; then
	pw useradd worker -c "Jailed turns" -m -M 0700 -s /bin/sh -w no
fi
chmod 0700 /root
