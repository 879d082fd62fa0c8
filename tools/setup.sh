#!/usr/bin/env bash
# Installs the Debian packages that the build and the demo need; where it may not, prints the one command that does.
set -u
packages="build-essential cmake pkg-config python3 python3-pip libdnnl-dev libjansson-dev libyaml-dev libpcre2-dev libutf8proc-dev
  libcld2-dev libsqlite3-dev libssl-dev libcmocka-dev gnuplot-nox"
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"
else
  echo "inoc: packages are missing; install them with:" >&2
  echo "  sudo apt-get install -y$missing" >&2
  exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { $sudo apt-get update && $sudo apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "inoc: the packages could not be installed; the command was: apt-get install -y$missing" >&2
  rm -f "$log"
  exit 1
fi
rm -f "$log"
