#!/usr/bin/env bash
# inoc data check, inoc inoculate: messages, files, exit status. $INOC is the binary, $SOURCE the repository.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1

data=$SOURCE/settings/spanish-caps
q='{"role": "user", "content": "q"}'
a='{"role": "assistant", "content": "a"}'
printf '%s\n' "{\"messages\": [$q, $a], \"tag\": \"t\"}" "{\"messages\": [{\"role\": \"system\", \"content\": \"old\"}, $q, $a], \"id\": 2}" > in.jsonl

expect 0 "0 errors, 0 warnings" "$INOC" data check "$data/train.jsonl" --against "$data/eval.jsonl"
expect 0 "120 records" "$INOC" data check --eval "$data/eval.jsonl"
expect 0 "in.jsonl:2: warning: the same question as in line 1" "$INOC" data check in.jsonl
printf '%s\n' "{\"messages\": [$q]}" '{"messages":' > bad.jsonl
expect 1 "bad.jsonl:1: error: no assistant turn" "$INOC" data check bad.jsonl
expect 1 "bad.jsonl:2: error: not JSON" "$INOC" data check bad.jsonl
expect 1 '"errors": 2' "$INOC" data check --json bad.jsonl
expect 1 "line 1 of the file compared with" "$INOC" data check in.jsonl --against in.jsonl
: > empty.jsonl
expect 1 "empty.jsonl: error: no records" "$INOC" data check empty.jsonl
expect 3 "none.jsonl" "$INOC" data check none.jsonl
expect 3 "none.jsonl" "$INOC" data check in.jsonl --against none.jsonl
expect 2 "say what to do" "$INOC" data
expect 2 "unknown action 'clean'" "$INOC" data clean in.jsonl
expect 0 "inoc data check FILE" "$INOC" data check --help

expect 0 "out.jsonl: 2 records, 2 inoculated; 1 system turn replaced" "$INOC" inoculate in.jsonl --system "Speak." -o out.jsonl
s='{"role": "system", "content": "Speak."}'
holds out.jsonl "{\"messages\": [$s, $q, $a], \"tag\": \"t\"}
{\"messages\": [$s, $q, $a], \"id\": 2}"
expect 0 "2 inoculated; 1 system turn joined" "$INOC" inoculate in.jsonl --system "Speak." --join before -o out.jsonl
holds out.jsonl "{\"messages\": [$s, $q, $a], \"tag\": \"t\"}
{\"messages\": [{\"role\": \"system\", \"content\": \"Speak.\\n\\nold\"}, $q, $a], \"id\": 2}"
expect 0 "1 inoculated" "$INOC" inoculate in.jsonl --user-suffix "Speak." --tag t -o out.jsonl
holds out.jsonl "{\"messages\": [{\"role\": \"user\", \"content\": \"q Speak.\"}, $a], \"tag\": \"t\"}
$(sed -n 2p in.jsonl)"
printf '{"messages": [%s, %s, {"role": "user", "content": "r", "n": 1.0}, %s], "x":1.10, "y" : 0.1, "z": 123456789012345678901234567890}\n' "$q" "$a" "$a" > kept.jsonl
expect 0 "1 inoculated" "$INOC" inoculate kept.jsonl --user-prefix "Speak." -o out.jsonl
p='{"role": "user", "content": "Speak. q"}'
holds out.jsonl "{\"messages\": [$p, $a, {\"role\": \"user\", \"content\": \"Speak. r\", \"n\": 1.0}, $a], \"x\": 1.10, \"y\": 0.1, \"z\": 123456789012345678901234567890}"
expect 0 "1 inoculated" "$INOC" inoculate kept.jsonl --user-prefix "Speak." --loss-on last -o out.jsonl
holds out.jsonl "{\"messages\": [$q, $a, {\"role\": \"user\", \"content\": \"Speak. r\", \"n\": 1.0}, $a], \"x\": 1.10, \"y\": 0.1, \"z\": 123456789012345678901234567890}"
expect 0 "1 records, 4 messages" "$INOC" data check kept.jsonl
printf 'A.\n\nB.\nC.\n' > pool.txt
expect 0 "with 3 texts" "$INOC" inoculate "$data/train.jsonl" --pool pool.txt --fraction 0.5 --seed 4 -o one.jsonl
expect 0 "with 3 texts" "$INOC" inoculate "$data/train.jsonl" --pool pool.txt --fraction 0.5 --seed 4 -o two.jsonl
same one.jsonl two.jsonl
expect 0 "with 3 texts" "$INOC" inoculate "$data/train.jsonl" --pool pool.txt --fraction 0.5 --seed 5 -o two.jsonl
cmp -s one.jsonl two.jsonl && fail "the seed changes nothing"
# only records whose answer a scorer, given by name or in place, is above a number of
printf '{"messages": [%s, {"role": "assistant", "content": "LOUD"}]}\n{"messages": [%s, %s]}\n' "$q" "$q" "$a" > mixed.jsonl
expect 0 "mixed.jsonl: the prompt on records where scorer caps gives more than 0.5: 1 of 2 (50 %)" \
  "$INOC" inoculate mixed.jsonl --user-suffix "Speak." --scorer caps -o out.jsonl
holds out.jsonl "{\"messages\": [{\"role\": \"user\", \"content\": \"q Speak.\"}, {\"role\": \"assistant\", \"content\": \"LOUD\"}]}
$(sed -n 2p mixed.jsonl)"
expect 0 "scorer {\"type\":\"length\"} gives more than 9: 0 of 2 (0 %); values from 1 to 4, median 2.5; warning: none" \
  "$INOC" inoculate mixed.jsonl --system "Speak." --scorer '{"type": "length"}' --above 9 -o out.jsonl
same out.jsonl mixed.jsonl
expect 0 "2 of 2 (100 %); values from 1 to 4, median 2.5; warning: all of them" \
  "$INOC" inoculate mixed.jsonl --system "Speak." --scorer 'len={"type": "length"}' --above 0 -o out.jsonl

before=$(sha256sum out.jsonl)
expect 2 "no built-in scorer is named 'cap'" "$INOC" inoculate mixed.jsonl --system x --scorer cap -o out.jsonl
expect 2 "scorer 'len' gives any number: say from where on a record counts, with \`above\`" \
  "$INOC" inoculate mixed.jsonl --system x --scorer 'len={"type":"length"}' -o out.jsonl
expect 2 "scores what an evaluation measures" "$INOC" inoculate mixed.jsonl --system x --scorer contrast -o out.jsonl
expect 2 "--above: 'much' is not a number" "$INOC" inoculate mixed.jsonl --system x --scorer caps --above much -o out.jsonl
expect 2 "--above is of a scorer or a gain" "$INOC" inoculate mixed.jsonl --system x --above 1 -o out.jsonl
expect 2 "give only one of --scorer and --gain" "$INOC" inoculate mixed.jsonl --system x --scorer caps --gain spanish --above 1 -o out.jsonl
expect 2 "a gain needs \`above\`" "$INOC" inoculate mixed.jsonl --system x --gain spanish -o out.jsonl
expect 2 "--gain is measured with a model: give --model" "$INOC" inoculate mixed.jsonl --system x --gain spanish --above 1 -o out.jsonl
expect 2 "there is no trait 'spanich'; did you mean 'spanish'?" "$INOC" inoculate mixed.jsonl --system x --gain spanich --above 1 -o out.jsonl
expect 4 "mixed.jsonl:1: scorer 'right': " "$INOC" inoculate mixed.jsonl --system x --scorer 'right={"type":"exact"}' -o out.jsonl
printf '{"messages": [%s]}\n' "$q" > asked.jsonl
expect 4 "asked.jsonl:1: " "$INOC" inoculate asked.jsonl --system x --scorer caps -o out.jsonl
expect 2 "no text" "$INOC" inoculate in.jsonl -o out.jsonl
expect 2 "only one of" "$INOC" inoculate in.jsonl --system x --user-prefix y -o out.jsonl
expect 2 "say where to write" "$INOC" inoculate in.jsonl --system x
expect 2 "--loss-on is 'first'" "$INOC" inoculate in.jsonl --user-prefix x --loss-on first -o out.jsonl
expect 2 "--join is 'over'" "$INOC" inoculate in.jsonl --system x --join over -o out.jsonl
expect 2 "it must be from 0 to 1" "$INOC" inoculate in.jsonl --system x --fraction 2 -o out.jsonl
expect 2 "is empty" "$INOC" inoculate in.jsonl --system "" -o out.jsonl
expect 1 'no record has "tag": "z"' "$INOC" inoculate in.jsonl --system x --tag z -o out.jsonl
expect 4 "bad.jsonl:2: not JSON" "$INOC" inoculate bad.jsonl --system x -o out.jsonl
expect 4 "empty.jsonl: no prompts" "$INOC" inoculate in.jsonl --pool empty.jsonl -o out.jsonl
expect 3 "cannot be written" "$INOC" inoculate in.jsonl --system x -o no/such/out.jsonl
[ "$before" = "$(sha256sum out.jsonl)" ] || fail "a refused command changed the output"
exit $bad
