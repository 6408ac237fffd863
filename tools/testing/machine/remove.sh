# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The second boot: all is up again. Then remove rfou.
# shellcheck source=tools/testing/machine/check.sh
. /run/job/machine/check.sh

is_up

systemctl disable --quiet --now peer
ip netns delete peer
rm /etc/systemd/network/* /etc/rfou.toml /etc/systemd/system/peer.service /usr/local/sbin/peer
for tunnel in tunnel-fou tunnel-gue gue0 gue1; do
	ip link delete "$tunnel"
done
for port in 5555 5556 5557 '5558 local 192.0.2.1'; do
	# shellcheck disable=SC2086 # words
	ip fou delete port $port
done
check "apt purges rfou" apt-get purge rfou
check "the purge unloads the modules" not grep -qE '^rfou|^rgue' /proc/modules
check "nothing is left of rfou" diff /var/tmp/files <(files)
# Linux's fou, unlike rfou, is not loaded for a request of ip fou.
check "modprobe loads Linux's fou" modprobe fou
check "ip fou adds a port of Linux's fou" ip fou add port 5555 ipproto 4
check "Linux's fou is loaded" loaded fou
check "rfou is not loaded" not loaded rfou
