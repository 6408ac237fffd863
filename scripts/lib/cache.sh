# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the other programs: messages, progress, and the cache of builds and downloads.
# An entry is a folder NAME-KEY, where KEY is a hash of everything that the entry is made
# from. An entry without its .complete stamp is never used: an interrupted run left it.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=scripts/lib/architecture.sh
. "$top/scripts/lib/architecture.sh"
# shellcheck source=scripts/lib/versions.sh
. "$top/scripts/lib/versions.sh"

RFOU_CACHE=${RFOU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rfou}
export RFOU_CACHE
mkdir -p "$RFOU_CACHE/log"

say() { printf 'rfou: %s\n' "$*" >&2; }
die() { printf 'rfou: error: %s\n' "$*" >&2; exit 1; }

# cache_entry NAME INPUT...: print the path of the entry made from INPUT...
cache_entry() {
	local name=$1
	shift
	printf '%s/%s-%s\n' "$RFOU_CACHE" "$name" \
		"$(printf '%s\0' "$@" | sha256sum | cut -c1-12)"
}

# recipe PROGRAM: print the program's text, for the key of the entry that the program makes.
# The printed text has the paths and names that other programs had before they moved into
# folders, so that entries from that time are found: a move must not cost a build of the
# kernel. For the same reason, the printed text has the names of this machine's architecture
# in place of the shell code that computes them.
recipe() {
	sed -e 's,lib/cache\.sh,cache.sh,' -e 's,/\.\./cache,/cache,' \
		-e 's,lib/in-rootfs,in-trixie,' -e 's,in_rootfs,in_trixie,' \
		-e 's,setup/module-tree,setup-metadata,' -e 's,setup/,setup-,' \
		-e "s,'\"\$host_arch\"',$host_arch," \
		-e "s,\\\$(make_arguments \"\\\$host_arch\" \([^)]*\)),$(make_arguments "$host_arch" '\1')," \
		-e 's,(recipe ,(cat ,' "$1"
}

cache_ready() { [ -e "$1/.complete" ]; }

# cache_begin ENTRY: take the entry's lock for the life of this process. Returns 1 if
# another process finished the entry meanwhile.
cache_begin() {
	exec 9>"$1.lock"
	flock -n 9 || { say "waiting for another set-up of ${1##*/}"; flock 9; }
	! cache_ready "$1" || return 1
	mkdir -p "$1"
}

cache_finish() { touch "$1/.complete"; }

# The cargo target folder of a checkout starts as a copy from another checkout. Cargo compares only
# modification times, and the other checkout may have been built after a change in this one: so the
# copy lacks the state of the checkout's own crates, which have no registry as source in LOCK.
target_from_cache() { # TARGET ENTRY LOCK
	local crates own
	if [ -e "$1" ] || ! cache_ready "$2"; then return 0; fi
	crates=$(awk -F '"' '/^name = / { own = $2 } /^source = / { own = "" }
		/^$/ { if (own) print own; own = "" } END { if (own) print own }' "$3") || return
	mkdir -p "${1%/*}" && rm -rf "$1.new" && cp -a "$2/target" "$1.new" || return
	for own in $crates; do
		find "$1.new" -path "*/.fingerprint/$own-*" -prune -exec rm -r {} + || return
	done
	mv -T "$1.new" "$1"
}
target_to_cache() ( # TARGET ENTRY
	if cache_ready "$2" || ! cache_begin "$2"; then return 0; fi
	rm -rf "$2/target"
	cp -a "$1" "$2/target" && rm -rf "$2"/target/*/incremental && cache_finish "$2"
)

# beside COMMAND...: run COMMAND in the background and set $beside to its process ID. COMMAND
# gets a process group of its own, because a shell without job control makes background
# commands ignore interrupts. The caller's EXIT trap calls end_beside, which ends COMMAND.
beside=
beside() {
	trap 'exit 130' INT
	trap 'exit 143' TERM
	set -m
	"$@" </dev/null &
	beside=$!
	set +m
}
end_beside() { [ -z "$beside" ] || kill -- "-$beside" 2>/dev/null || true; }

# long_step LOG TITLE COMMAND...: run COMMAND with its output in the cache's log/LOG, and
# print the time taken and the last line of output every 20 s.
long_step() {
	local log=$RFOU_CACHE/log/$1 title=$2 start=$SECONDS pid status=0 waited=0
	shift 2
	say "$title"
	# A process group, so that an interrupt ends every process of the step.
	set -m
	"$@" >"$log" 2>&1 9>&- &
	pid=$!
	set +m
	trap 'kill -- "-$pid" 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		waited=$((waited + 1))
		if [ $((waited % 40)) = 0 ]; then
			say "  ... $((SECONDS - start)) s: $(tail -n 1 "$log" | tr -d '\r' | cut -c1-100)"
		fi
	done
	wait "$pid" || status=$?
	trap - INT TERM
	if [ "$status" != 0 ]; then
		tail -n 30 "$log" >&2
		die "$title: failed with status $status (whole output: $log)"
	fi
	say "  done in $((SECONDS - start)) s"
}
