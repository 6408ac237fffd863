# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced: the kernel loads the modules by itself.

shows_gue() { ip -details link show gue0 | tee /dev/stderr | grep -qE "^ +gue .*id 5"; }

check "ip fou adds a port" ip fou add port 5555 ipproto 4
check "the kernel has loaded rfou by itself" loaded rfou
check "Linux's fou is not loaded" not loaded fou
check "rfou has the version of the package" grep -qx "$(version)" /sys/module/rfou/version
check "ip link adds a gue device" ip link add gue0 type gue id 5 remote 192.0.2.2
check "the kernel has loaded rgue by itself" loaded rgue
check "ip's plug-in shows the device" shows_gue
ip link delete gue0
ip fou delete port 5555
rmmod rgue rfou6 rfou 2>/dev/null
check "the modules unload" not loaded rfou
