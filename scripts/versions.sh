# shellcheck shell=sh disable=SC2034
# What rfou is built with and tested on: the one place that names it.

# The toolchain and the guest's user space come from this Debian release.
SUITE=trixie

# The stock kernel under test, by series, from SUITE-backports. When the
# archive has moved on, the newest series it has is used, with a message.
KERNEL_SERIES=7.3

# make (metadata tree, modules, debug kernel).
BUILD_PACKAGES="
	bc bindgen bison cargo clang cpio flex gcc-14 kmod libc6-dev libdw-dev
	libelf-dev libssl-dev lld llvm make pahole patch perl python3 rust-clippy
	rust-src rustc rustfmt xz-utils zstd"

# scripts/vm and what runs in the guest.
GUEST_PACKAGES="
	bpftool busybox-static ethtool iperf3 iproute2 iptables iputils-ping ipvsadm kmod
	libbpf-dev jq libcap2-bin nftables procps python3-pyroute2 python3-pytest
	python3-pytest-timeout python3-scapy python3-yaml qemu-system-x86 seabios strace systemd
	tcpdump"

# make lint.
LINT_PACKAGES="clang-format python3-pip shellcheck"

# From PyPI, as Debian has no package of it.
RUFF_VERSION=0.17.6

# make bench: plots. From PyPI, as Debian's package comes with a desktop's libraries.
MATPLOTLIB_VERSION=3.10.7

# make fuzz. The newest that SUITE's rustc builds.
CARGO_FUZZ_VERSION=0.13.0
