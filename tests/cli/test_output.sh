#!/usr/bin/env bash
# Where results go: regular files, links, pipes, devices, standard output, and what happens when it is full.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
q='{"role": "user", "content": "q"}'
a='{"role": "assistant", "content": "a"}'
s='{"role": "system", "content": "S"}'
printf '{"messages": [%s, %s]}\n' "$q" "$a" > in.jsonl
want="{\"messages\": [$s, $q, $a]}"
put=("$INOC" inoculate in.jsonl --system S)

mkfifo pipe
cat pipe > got &
expect 0 "pipe: 1 records" "${put[@]}" -o pipe
wait $!
holds got "$want"
[ -p pipe ] || fail "-o pipe replaced the pipe"

mkdir sub
echo old > sub/target
ln -s sub/target link
ln -s sub/new dangling
expect 0 "" "${put[@]}" -o link
expect 0 "" "${put[@]}" -o dangling
holds sub/target "$want"
holds sub/new "$want"
[ -L link ] && [ -L dangling ] || fail "a symbolic link was replaced"

"${put[@]}" -o - > got 2> log
holds got "$want"
holds log "-: 1 records, 1 inoculated"
[ -e - ] && fail "-o - made a file of that name"
"${put[@]}" -o /dev/stdout 2> log | cat > got
holds got "$want"
"${put[@]}" -o /dev/stdout 2> log > got
holds got "$want"
[ -L /dev/stdout ] || fail "/dev/stdout was replaced"
expect 3 "sub: cannot be written: it is a folder; give a file" "${put[@]}" -o sub

if [ -c /dev/full ]; then
  expect 3 "/dev/full: write failed: No space left on device" "${put[@]}" -o /dev/full
  [ -c /dev/full ] || fail "-o /dev/full replaced the device"
  for c in "data check in.jsonl" "--help" "--version" "train --help" "model list"; do
    # shellcheck disable=SC2086
    "$INOC" $c > /dev/full 2> log
    [ $? = 3 ] && grep -q "standard output cannot be written: No space left on device" log || fail "inoc $c > /dev/full: $(cat log)"
  done
else
  echo "skipped: there is no /dev/full"
fi

expect 2 "names a folder, which '-' cannot be" "$INOC" train -m m -d in.jsonl -o -
expect 2 "names a folder, which '-' cannot be" "$INOC" run e.yaml -o -
expect 2 "the answers cannot" "$INOC" eval -m m -p in.jsonl -o -
expect 2 "cannot both go to standard output" "$INOC" report --html - --csv out
exit $bad
