# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The repository has a newer version: upgrade while tunnels are in use.
# shellcheck source=tools/testing/machine/check.sh
. /run/job/machine/check.sh

is_up
old=$(version)
check "apt finds the upgrade" apt-get update --error-on=any
check "apt upgrades the packages" apt-get upgrade -y
check "rfou has the newer version" dpkg --compare-versions "$(version)" gt "$old"
check "the old modules stay loaded while tunnels use them" grep -qx "$old" /sys/module/rfou/version
check "the old modules carry packets" ping -c 1 -W 5 10.0.1.2
