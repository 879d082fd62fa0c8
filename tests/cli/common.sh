# Sourced by the tests of the program: a temporary folder to be in, and what they check with. $INOC is the binary, $SOURCE the
# repository. A script ends with `exit $bad`.
# shellcheck shell=bash
set -u
export OMP_NUM_THREADS=1 # the work is small; on a busy machine two threads mostly wait for each other
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
bad=0

fail() { printf '%s\n' "$*"; bad=1; }

# expect STATUS TEXT COMMAND...: TEXT is somewhere in what it prints on either stream; its standard input is empty
expect() {
  local status=$1 text=$2 got rc
  shift 2
  got=$("$@" 2>&1 </dev/null)
  rc=$?
  if [ "$rc" != "$status" ] || [[ "$got" != *"$text"* ]]; then
    fail "$(printf '%s\n  status %s, expected %s\n  printed: %s\n  expected: %s' "$*" "$rc" "$status" "$(tail -n 20 <<<"$got")" "$text")"
  fi
}

same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

holds() { # holds FILE TEXT
  [ "$(cat "$1")" = "$2" ] || fail "$(printf '%s holds:\n%s\nexpected:\n%s' "$1" "$(cat "$1")" "$2")"
}

rows() { [ "$(wc -l < "$1")" -ge "$2" ]; } # rows FILE N: it has at least N

# wait_for PID COMMAND...: until COMMAND succeeds; fails when process PID has ended before
wait_for() {
  local pid=$1
  shift
  until "$@" 2>/dev/null; do
    kill -0 "$pid" 2>/dev/null || { fail "process $pid ended before: $*"; return 1; }
    sleep 0.01
  done
}
has_pty() { python3 -c 'import pty; pty.openpty()' 2>/dev/null; } # a container may have none
