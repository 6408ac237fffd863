# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the commands of each boot.

# check NAME COMMAND...: prints the line for a test, and the command's output if it fails.
check() {
	local name=$1 output start=$SECONDS
	shift
	if output=$("$@" 2>&1); then
		echo "ok $name"
	else
		echo "not ok $name: $* fails"
		# shellcheck disable=SC2001 # for each line
		sed 's/^/# /' <<<"$output" | tail -n 30
	fi
	[ $((SECONDS - start)) -lt 5 ] || echo "# $name: $((SECONDS - start)) s"
}

loaded() { grep -q "^$1 " /proc/modules; }
not() { ! "$@"; }

# within SECONDS COMMAND...: repeats the command until it succeeds.
within() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || { "$@"; return; }
		sleep 0.2
	done
}

# Lists all files that a package could leave behind, and the checksums of depmod's files.
files() {
	find /etc /usr /var/lib/dkms /var/lib/rfou /var/lib/systemd -xdev \( -not -type d -o -name '*rfou*' \) \
		-not -path '/etc/apt/*' 2>/dev/null | grep -v __pycache__ | sort
	sha256sum /lib/modules/*/modules.{dep,alias,symbols,softdep}
}

version() { dpkg-query -W -f '${Version}' rfou; }

is_up() {
	check "the machine boots without a failed unit" booted
	check "rfou is loaded" loaded rfou
	check "Linux's fou is not loaded" not loaded fou
	check "rfou has the version of the package" grep -qx "$(version)" /sys/module/rfou/version
	tunnels_carry
}

booted() { [ "$(head -n 1 /run/job/state)" = running ] || { cat /run/job/state; return 1; }; }

# The tunnels that networkd and rfou.service configure.
tunnels_carry() {
	check "networkd's ipip tunnel in FOU carries a ping" within 20 ping -c 1 -W 2 10.0.1.2
	check "networkd's ipip tunnel in GUE carries a ping" within 20 ping -c 1 -W 2 10.0.2.2
	check "rfou.service's gue device carries a ping" within 20 ping -c 1 -W 2 10.0.3.2
	check "rfou.service's gue device on an interface that appears later carries a ping" within 20 ping -c 1 -W 2 10.0.4.2
	check "networkd's and rfou.service's ports are open" ports_are_open
	check "rfou.service has finished" within 5 service_is_over
}
service_is_over() { [ "$(systemctl show --property SubState --value rfou)" = exited ]; }
ports_are_open() {
	local shown wanted
	shown=$(ip fou show)
	echo "$shown"
	for wanted in 'port 5555 ipproto 4' 'port 5556 gue' 'port 5557 gue' 'port 5558 gue .*local 192.0.2.1'; do
		grep -q "$wanted" <<<"$shown" || return
	done
}
