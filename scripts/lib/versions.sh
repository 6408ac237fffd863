# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2034
# Versions of everything that rfou is built with and tested on.

# The Debian release of the toolchain and of the guests' user space.
SUITE=trixie

# The stock kernel's series, from SUITE-backports. An archive that no longer has the
# series gives its newest one, with a message.
KERNEL_SERIES=7.3

# For setup/module-tree, build/module and setup/debug-kernel.
BUILD_PACKAGES="
	bc bindgen bison cargo clang cpio flex gcc-14 kmod libc6-dev libdw-dev
	libelf-dev libssl-dev lld llvm make pahole patch perl python3 rust-clippy
	rust-src rustc rustfmt xz-utils zstd"

# To build a kernel for an architecture on the other one.
CROSS_PACKAGES_amd64="gcc-14-x86-64-linux-gnu libc6-dev-amd64-cross"
CROSS_PACKAGES_arm64="gcc-14-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf"

# QEMU for guests of an architecture.
QEMU_PACKAGES_amd64="qemu-system-x86 seabios"
QEMU_PACKAGES_arm64="qemu-system-arm"

# shellcheck disable=SC2154 # set by architecture.sh
case $host_arch in
arm64)
	# For the kernel's vDSO of 32-bit programs.
	BUILD_PACKAGES="$BUILD_PACKAGES gcc-arm-linux-gnueabihf"
	QEMU_PACKAGES=$QEMU_PACKAGES_arm64
	;;
*) QEMU_PACKAGES=$QEMU_PACKAGES_amd64 ;;
esac

# For scripts/vm and the programs in guests.
GUEST_PACKAGES="
	bpftool busybox-static ethtool iperf3 iproute2 iptables iputils-ping ipvsadm kmod
	libbpf-dev jq libcap2-bin nftables procps python3-pyroute2 python3-pytest
	python3-pytest-timeout python3-scapy python3-yaml $QEMU_PACKAGES strace systemd
	tcpdump"

# For make deb, make repo and their tests.
PACKAGING_PACKAGES="apt-utils debhelper dh-dkms e2fsprogs gpg gpg-agent lintian"

# For make lint.
LINT_PACKAGES="clang-format python3-pip shellcheck"

# From PyPI, because Debian has no package of ruff.
RUFF_VERSION=0.17.6

# For make bench. From PyPI, because Debian's package pulls in a desktop's libraries.
MATPLOTLIB_VERSION=3.10.7

# For make fuzz: the newest version that SUITE's rustc builds.
CARGO_FUZZ_VERSION=0.13.0
