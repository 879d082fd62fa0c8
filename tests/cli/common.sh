# Sourced by the tests of the program: a folder of their own, and what they check with. $INOC is the binary.
# shellcheck shell=bash
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
bad=0

# expect STATUS TEXT COMMAND...: TEXT is somewhere in what it prints on either stream; its standard input is empty
expect() {
  local status=$1 text=$2 got rc
  shift 2
  got=$("$@" 2>&1 </dev/null)
  rc=$?
  if [ "$rc" != "$status" ] || [[ "$got" != *"$text"* ]]; then
    printf '%s\n  status %s, expected %s\n  printed: %s\n  expected: %s\n' "$*" "$rc" "$status" "$(tail -n 20 <<<"$got")" "$text"
    bad=1
  fi
}

same() { cmp -s "$1" "$2" || { echo "$1 and $2 differ"; bad=1; }; }

holds() { # holds FILE TEXT
  [ "$(cat "$1")" = "$2" ] || { printf '%s holds:\n%s\nexpected:\n%s\n' "$1" "$(cat "$1")" "$2"; bad=1; }
}
