# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Remove rfou while its tunnels are in use.
# shellcheck source=tools/testing/machine/check.sh
. /run/job/machine/check.sh

purge() { apt-get purge -y rfou >/var/tmp/purge 2>&1; status=$?; cat /var/tmp/purge; return $status; }

is_up
check "apt purges rfou" purge
check "apt says that the modules stay loaded" grep -q 'so it stays until' /var/tmp/purge
check "the loaded modules carry packets" ping -c 1 -W 5 10.0.1.2
