#!/usr/bin/env bash
# What a newcomer gets wrong on the command line, and what is then said. No model is opened. $INOC is the binary.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1

for c in "" run report export import train sample chat eval score logprob classifier judge scan select inoculate data model analyse merge; do
  expect 0 "usage: inoc" "$INOC" $c --help
done
expect 2 "unknown command 'trian'; did you mean 'train'?" "$INOC" trian
expect 2 "unknown option '--temprature'; did you mean '--temperature'? see 'inoc sample --help'" "$INOC" sample --temprature 1
expect 2 "unknown option '-z'; see 'inoc data --help'" "$INOC" data check -z

# values
expect 2 "--model wants a value (MODEL)" "$INOC" sample -m
expect 2 "--model wants a value (MODEL), and the option -p follows" "$INOC" sample -m -p x
expect 2 "write --stop=--seed" "$INOC" sample --stop --seed 1
expect 2 "--model is empty" "$INOC" sample -m ""
expect 2 "an argument is empty" "$INOC" run ""
expect 2 "unexpected argument 'extra'" "$INOC" sample extra
expect 2 "--greedy takes no value" "$INOC" chat --greedy=yes
expect 2 "--system is not valid UTF-8 at byte 2" "$INOC" chat --system "$(printf 'a\xff')"
expect 2 "--n wants a whole number, not '2x'" "$INOC" eval -n 2x
expect 2 "--temperature wants a number, not 'hot'" "$INOC" eval -t hot
expect 2 "--temperature wants a number, not 'nan'" "$INOC" eval -t nan

# ranges: every command refuses the same values in the same words
for c in sample eval chat; do
  expect 2 "--top-k is -1; it must be from 0 to 1073741824" "$INOC" $c --top-k -1
  expect 2 "--max-tokens is 0; it must be from 1 to 1048576" "$INOC" $c --max-tokens 0
  expect 2 "--threads is 999999999999; it must be from 0 to 1024" "$INOC" $c --threads 999999999999
  expect 2 "--seed is -1; it must be 0 or more" "$INOC" $c --seed -1
  expect 2 "--top-p is 2; it must be from 0 to 1" "$INOC" $c --top-p 2
done
expect 2 "--n is 99999999999999999999; it must be from 1 to 100000" "$INOC" sample -n 99999999999999999999
expect 2 "--rank is -1; it must be from 1 to 1024" "$INOC" train --rank -1
expect 2 "--weight-decay is -1; it must be from 0 to 10" "$INOC" train --weight-decay -1
expect 2 "--wait is -1" "$INOC" run --wait -1 x
expect 2 "--fraction is 2; it must be from 0 to 1" "$INOC" inoculate --fraction 2 x
expect 2 "--targets names no projection" "$INOC" train -m m -d d -o o --targets ,
expect 2 "--fraction says how a prompt is put in, and there is none; give --inoculate-system" "$INOC" train -m m -d d -o o --fraction 0.5
expect 2 "--join says how a prompt is put in" "$INOC" train -m m -d d -o o --join after

# files
mkdir folder
echo hello > text
printf '{"messages": [{"role": "user", "content": "q"}]}\n' > p.jsonl
expect 3 "folder: cannot be opened: it is a folder; give a file" "$INOC" model info folder
expect 3 "folder: cannot be read: it is a folder; give a file" "$INOC" sample -m m -p folder -o s
expect 3 "folder: cannot be written: it is a folder; give a file" "$INOC" sample -m m -p p.jsonl -o folder
expect 3 "its folder does not exist; make it first" "$INOC" sample -m m -p p.jsonl -o no/such/s
expect 2 "--output text is a file; give a folder" "$INOC" train -m m -d p.jsonl -o text
expect 2 "model fetch wants a model's name" "$INOC" model fetch
expect 2 "unknown action 'ls'" "$INOC" model ls
[ -e s ] && fail "a refused command left an output"
exit $bad
