# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A boot with Secure Boot: the kernel takes modules signed by DKMS, and no others.
# shellcheck source=tools/testing/machine/check.sh
. /run/job/machine/check.sh

refused() {
	local output
	output=$(insmod /run/job/unsigned.ko 2>&1) && return 1
	echo "$output"
	grep -q 'Key was rejected by service' <<<"$output"
}

check "the kernel says that Secure Boot is on" grep -qi 'secure boot enabled' <(dmesg)
check "the kernel is locked down" grep -q '\[integrity\]' /sys/kernel/security/lockdown
check "DKMS has signed rfou" modinfo -F sig_key rfou
is_up
check "an unsigned module is refused" refused
