#!/usr/bin/env bash
# tools/setup.sh with a dpkg-query, apt-get, sudo and id of ours in front: what it asks for, and what it tells who may not install.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
chmod 755 "$dir"
setup=$dir/setup.sh # a copy where everyone may read it
cp "$SOURCE/tools/setup.sh" "$setup"
chmod 755 "$setup"
mkdir bin sudo
stub() { printf '#!/bin/sh\n%s\n' "$2" > "$1"; chmod 755 "$1"; }
stub bin/dpkg-query 'case " $LACK " in *" $3 "*) exit 1 ;; esac; echo install ok installed'
stub bin/apt-get 'echo "apt-get $*" >> "$CALLS"; [ "$APT" != fails ]'
stub sudo/sudo 'echo "sudo $*" >> "$CALLS"; [ "$SUDO" = asks ] && [ "$1" = -n ] && exit 1; [ "$1" = -n ] && shift; exec "$@"'
export PATH=$dir/bin:$PATH CALLS=$dir/calls LACK="" APT="" SUDO=""
plain=$PATH
ran() { holds calls "$1"; rm -f calls; }
as_user() { stub bin/id 'echo 1000'; }
as_root() { stub bin/id 'echo 0'; }

as_root
expect 0 "" "$setup"
[ -e calls ] && fail "setup installs what is there: $(cat calls)"
LACK="cmake libyaml-dev" expect 0 "installing: cmake libyaml-dev" "$setup"
ran "apt-get update
apt-get install -y --no-install-recommends cmake libyaml-dev"
APT=fails LACK=cmake expect 1 "the command was: apt-get update && apt-get install -y --no-install-recommends cmake" "$setup"
rm -f calls

# clang-format is for `make check` alone
LACK=clang-format expect 0 "" "$setup"
[ -e calls ] && fail "setup asks for clang-format: $(cat calls)"
LACK=clang-format expect 0 "installing: clang-format" "$setup" --check
rm -f calls

# no root, no sudo: the command to give. Debian's own sudo, where there is one, must not be found.
as_user
told="sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends cmake'"
no_sudo=$dir/bin:$dir/tools
mkdir tools
for t in bash sh id grep mktemp tail rm env; do ln -s "$(command -v $t)" tools/$t; done
PATH=$no_sudo LACK=cmake expect 1 "$told" bash "$setup"
[ -e calls ] && fail "without root and sudo something was run: $(cat calls)"
# truly as nobody, when we may become that
rm bin/id
hash -r
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  PATH=$no_sudo LACK=cmake expect 1 "$told" "$(command -v setpriv)" --reuid=65534 --regid=65534 --clear-groups bash "$setup"
else
  echo "skipped: cannot become nobody"
fi
as_user

# a sudo that needs no password is used; one that asks is used at a terminal only
PATH=$dir/sudo:$plain LACK=cmake expect 0 "installing: cmake" "$setup"
ran "sudo -n true
sudo true
sudo apt-get update
apt-get update
sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends cmake
apt-get install -y --no-install-recommends cmake"
SUDO=asks PATH=$dir/sudo:$plain LACK=cmake expect 1 "$told" "$setup"
ran "sudo -n true"
if command -v script >/dev/null && has_pty; then
  SUDO=asks PATH=$dir/sudo:$plain LACK=cmake script -qec "$setup" /dev/null > log 2>&1 < /dev/null || fail "at a terminal: $(cat log)"
  grep -q "sudo apt-get update" calls || fail "at a terminal sudo was not used: $(cat calls log)"
else
  echo "skipped: no script(1) or no pseudo-terminals"
fi
exit $bad
