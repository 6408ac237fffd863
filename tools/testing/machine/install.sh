# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The first boot: install rfou as the README says, use it, and leave it configured.
# shellcheck source=tools/testing/machine/check.sh
. /run/job/machine/check.sh

check "the machine boots without a failed unit" booted
files >/var/tmp/files
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/yes
check "apt installs by the README's lines" bash -ex /run/job/machine/readme-install
check "no module is loaded yet" not grep -qE '^r?fou|^rgue' /proc/modules

# shellcheck source=tools/testing/machine/load.sh
. /run/job/machine/load.sh

/run/job/machine/configure /run/job/machine ''
systemctl daemon-reload
check "rfou.service applies /etc/rfou.toml" systemctl enable --now rfou
networkctl reload
check "the peer's service starts" systemctl enable --now peer
tunnels_carry
