# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Sourced by cache.sh: the names of an architecture. Programs take Debian's name, amd64 or
# arm64. Where it is this machine's, they build and run natively.

case $(uname -m) in
x86_64) host_arch=amd64 ;;
aarch64) host_arch=arm64 ;;
*) host_arch=$(uname -m) ;;
esac

# release_arch RELEASE: the architecture of a Debian kernel, such as 7.3.4+deb13-rt-arm64 or
# 7.3.4+deb13-arm64-16k; this machine's if the release names none.
release_arch() {
	if [[ $1 =~ -(amd64|arm64)(-16k)?$ ]]; then
		echo "${BASH_REMATCH[1]}"
	else
		echo "$host_arch"
	fi
}

# gnu_triplet ARCHITECTURE: GNU's name, of compilers and of folders for libraries.
gnu_triplet() {
	case $1 in
	amd64) echo x86_64-linux-gnu ;;
	arm64) echo aarch64-linux-gnu ;;
	*) die "rfou knows the architectures amd64 and arm64, not $1" ;;
	esac
}

# make_arguments ARCHITECTURE COMPILER: what the kernel's make must be told to build for that
# architecture with a COMPILER of Debian's, such as gcc-14; a list of words.
make_arguments() {
	local triplet words
	triplet=$(gnu_triplet "$1")
	# Debian's own compiler name, or the configuration would change.
	words="CC=$triplet-$2 HOSTCC=$2"
	case $1 in
	# For the vDSO of 32-bit programs, without which the configuration would change as well.
	arm64) words+=" CROSS_COMPILE_COMPAT=arm-linux-gnueabihf-" ;;
	esac
	if [ "$1" != "$host_arch" ]; then
		words+=" ARCH=${1/amd64/x86} CROSS_COMPILE=$triplet-"
	fi
	echo "$words"
}

# qemu_machine ARCHITECTURE: QEMU's program and its machine, a list of words.
qemu_machine() {
	case $1 in
	amd64) echo qemu-system-x86_64 -machine q35,hpet=off ;;
	arm64) echo qemu-system-aarch64 -machine virt,gic-version=max ;;
	esac
}

# console ARCHITECTURE: the kernel's name of that machine's serial port.
console() {
	case $1 in
	amd64) echo ttyS0 ;;
	arm64) echo ttyAMA0 ;;
	esac
}
