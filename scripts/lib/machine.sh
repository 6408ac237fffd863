# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034
# Sourced by the tests on a whole Debian machine, which set $folder, the machine's folder.

failed=0
check() { # NAME COMMAND...
	local name=$1
	shift
	if "$@"; then
		echo "ok $name"
	else
		echo "not ok $name: $* fails"
		[ ! -e "$folder/log" ] || tail -n 40 "$folder/log" >&2
		failed=1
	fi
}

# make_repository [VERSION]: builds the packages, and leaves a repository of them in $folder/repo. With
# a VERSION, builds the packages in a copy of this checkout that has this version.
make_repository() {
	(
		if [ $# -gt 0 ]; then
			git clone --quiet "$top" "$folder/checkout" || exit
			cd "$top" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder/checkout"
			cd "$folder/checkout" || exit
			echo "$1" >VERSION
		else
			cd "$top" && mkdir -p build || exit
			# scripts/test/packages builds in the same folders.
			exec 8>build/test-packages.lock
			flock 8
		fi
		scripts/build/deb && RFOU_SIGNING=$folder/signing scripts/build/repo || exit
		rm -rf "$folder/repo"
		cp -r build/repo "$folder"
	) >"$folder/log" 2>&1
	local status=$?
	rm -rf "$folder/checkout"
	return "$status"
}

# share_tests: copies tools/testing/machine to the machine's job folder, and adds the commands of the
# README's section "Install", without the `make` command that builds the packages.
share_tests() {
	rm -rf "$folder/job/machine"
	mkdir -p "$folder/job"
	cp -r "$top/tools/testing/machine" "$folder/job"
	# shellcheck disable=SC2016 # not a command
	sed -n '/^## Install$/,/^## /{/^```$/,/^```$/{/^\(```\|make \)/!p}}' "$top/README.md" \
		>"$folder/job/machine/readme-install"
}

# boot NAME SCRIPT [OPTION...]: boots the machine and runs tools/testing/machine/SCRIPT.sh there. Prints
# the script's tests with NAME before the name of each.
boot() {
	local name=$1 script=$2 begun=$SECONDS status
	shift 2
	share_tests
	"$top/scripts/guest/machine" "$@" "$folder" "$top/tools/testing/machine/$script.sh" |
		sed -u "s/^\(ok\|not ok\) /&$name: /" | tee "$folder/tests.txt"
	status=${PIPESTATUS[0]}
	echo "# $name: booted in $(cat "$folder/job/booted") s, over after $((SECONDS - begun)) s"
	if [ "$status" != 0 ]; then
		echo "not ok $name: status $status"
		failed=1
	fi
	! grep -q '^not ok ' "$folder/tests.txt" || failed=1
}
