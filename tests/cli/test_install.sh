#!/usr/bin/env bash
# `make install` into a prefix that is then moved: the program runs, the README's C program compiles, links and runs.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
build=$(dirname "$INOC")
cmake --install "$build" --prefix "$dir/first" > log 2>&1 || { cat log; exit 1; }
mv first moved
pc=$(find moved -name inoc.pc)
[ -n "$pc" ] || { fail "no inoc.pc among: $(find moved -type f)"; exit $bad; }
export PKG_CONFIG_PATH=$dir/$(dirname "$pc") PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
version=$("$INOC" --version)
[ "inoc $(pkg-config --modversion inoc)" = "$version" ] || fail "inoc.pc says $(pkg-config --modversion inoc), the program $version"
libdir=$(pkg-config --variable=libdir inoc)
[ "$(realpath "$libdir")" = "$(realpath "$(dirname "$pc")/..")" ] || fail "inoc.pc's libdir is $libdir, installed in $(dirname "$pc")/.."
expect 0 "$version" moved/bin/inoc --version
expect 0 "Answers are in Spanish." moved/bin/inoc scan --list
[ -s moved/share/inoc/traits/neutral.jsonl ] || fail "the neutral records are not installed"
[ -s moved/share/man/man1/inoc.1 ] || fail "the man page is not installed"

# program FILE: the C block of a document, its body as main's
program() {
  awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$SOURCE/$1" > block
  [ -s block ] || fail "$1 has no C program"
  { printf '#include <stdio.h>\n'; grep '^#include' block; printf 'int main(void)\n{\n'; grep -v '^#include' block; printf 'return 0;\n}\n'; } > program.c
  # shellcheck disable=SC2046
  cc -std=c11 -Wall -Werror program.c $(pkg-config --cflags --libs inoc) -Wl,-rpath,"$libdir" -o program 2> log || fail "the program of $1: $(cat log)"
}
ln -s "$INOC_MODEL" model.gguf
# what it prints is what the installed program prints; the trait library is found by libinoc, far from this one
program docs/library.md
head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > train.jsonl
./program > both.json 2> log || fail "the program of docs/library.md: $(cat log both.json)"
grep -Eq "^Spanish: 1; nearer to the trait by -[0-9.]+ nats a byte$" log || fail "the scores: $(cat log)"
INOC=$dir/moved/bin/inoc
"$INOC" scan -m model.gguf -d train.jsonl --only spanish,pirate --first 4 --most 4 --tokens 16 --json > scan.json 2> log || fail "scan: $(cat log)"
"$INOC" select -m model.gguf -d train.jsonl --trait spanish --records 4 --json > select.json 2> log || fail "select: $(cat log)"
python3 - <<'P' || fail "the library and the program do not say the same"
import json
both = json.load(open("both.json"))
program = [json.load(open(f)) for f in ("scan.json", "select.json")]
for v in both[0], program[0]:
    assert v.pop("seconds") > 0
assert both == program, (both, program)
assert both[0]["traits"][0]["trait"] == "spanish"
P

program README.md
./program > answer 2>&1 && [ -s answer ] || fail "the README's program: $(cat answer)"
mv model.gguf other.gguf
expect 1 "model.gguf: cannot be opened" ./program
exit $bad
