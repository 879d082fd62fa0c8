#!/usr/bin/env bash
# Installs the Debian packages that the build and the demo need; where it may not, prints the one command that does.
# --check: also those that `make check` needs.
set -u
packages="build-essential cmake pkg-config python3 python3-pip libdnnl-dev libjansson-dev libyaml-dev libpcre2-dev libutf8proc-dev
  libcld2-dev libsqlite3-dev libssl-dev libcurl4-openssl-dev libzip-dev libzstd-dev
  libcmocka-dev gnuplot-nox"
[ "${1:-}" = --check ] && packages="$packages clang-format"
missing=""
for p in $packages; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then sudo="sudo" # it may ask a person for a password
else
  echo "inoc: packages are missing; install them with:" >&2
  echo "  sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends$missing'" >&2
  exit 1
fi
echo "installing:$missing" >&2
[ -z "$sudo" ] || $sudo true || { echo "inoc: sudo was refused; the packages are not installed" >&2; exit 1; }
log=$(mktemp)
if ! { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "inoc: the packages could not be installed; the command was: apt-get update && apt-get install -y --no-install-recommends$missing" >&2
  rm -f "$log"
  exit 1
fi
rm -f "$log"
