# shellcheck shell=bash
# Sourced by the set-up programs: messages, progress, and the cache of things
# that are made once. An entry is a folder NAME-KEY, KEY being a hash of all it
# was made from; it counts only once its .complete stamp is there, so what an
# interrupted run left behind is never used.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck source=scripts/versions.sh
. "$top/scripts/versions.sh"

RFOU_CACHE=${RFOU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rfou}
export RFOU_CACHE
mkdir -p "$RFOU_CACHE/log"

say() { printf 'rfou: %s\n' "$*" >&2; }
die() { printf 'rfou: error: %s\n' "$*" >&2; exit 1; }

# cache_entry NAME INPUT...: the path of the entry made from INPUT...
cache_entry() {
	local name=$1
	shift
	printf '%s/%s-%s\n' "$RFOU_CACHE" "$name" \
		"$(printf '%s\0' "$@" | sha256sum | cut -c1-12)"
}

cache_ready() { [ -e "$1/.complete" ]; }

# cache_begin ENTRY: take the entry's lock for the life of this process. Returns
# 1 if another process finished the entry while we waited for it.
cache_begin() {
	exec 9>"$1.lock"
	flock -n 9 || { say "waiting for another set-up of ${1##*/}"; flock 9; }
	! cache_ready "$1" || return 1
	mkdir -p "$1"
}

cache_finish() { touch "$1/.complete"; }

# A checkout's folder for cargo begins with what others have compiled of the same
# crates from the registry; what is its own is compiled in each. Cargo goes by the
# files' times, which are kept, and compiles again what does not fit.
target_from_cache() { # TARGET ENTRY
	if [ -e "$1" ] || ! cache_ready "$2"; then return 0; fi
	mkdir -p "${1%/*}"
	rm -rf "$1.new"
	cp -a "$2/target" "$1.new" && mv -T "$1.new" "$1"
}
target_to_cache() ( # TARGET ENTRY
	if cache_ready "$2" || ! cache_begin "$2"; then return 0; fi
	rm -rf "$2/target"
	cp -a "$1" "$2/target" && rm -rf "$2"/target/*/incremental && cache_finish "$2"
)

# beside COMMAND...: run COMMAND in the background, as a process group of its own, for
# a shell without job control has it ignore interrupts; end_beside, which is to be
# called at the end, however it comes, ends it. $beside is its number, for wait.
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

# long_step LOG TITLE COMMAND...: run COMMAND with its output in the cache's
# log/LOG, saying every 20 s how long it has taken and what its last line was.
long_step() {
	local log=$RFOU_CACHE/log/$1 title=$2 start=$SECONDS pid status=0 waited=0
	shift 2
	say "$title"
	# A process group of its own, so that an interrupt leaves nothing of the step
	# running behind our back.
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
