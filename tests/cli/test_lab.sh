#!/usr/bin/env bash
# inoc run, train, eval, score, export: wrong input, its messages and exit status. Nothing here computes. $INOC is the binary.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1

yaml=$SOURCE/settings/spanish-caps/experiment.yaml
for c in run train eval score export; do expect 0 "usage: inoc $c" "$INOC" $c --help; done

# run
expect 2 "an argument is missing" "$INOC" run
expect 3 "nope.yaml" "$INOC" run nope.yaml
expect 4 "did you mean 'seeds'?" "$INOC" run "$yaml" --set sedes=1
expect 4 "train.lr must be a number, not 'fast'" "$INOC" run "$yaml" --set train.lr=fast
expect 2 "give it as key=value" "$INOC" run "$yaml" --set train.lr
expect 2 "--seeds: 'x' is not a whole number" "$INOC" run "$yaml" --seeds 1,x
expect 2 "--seeds names nothing" "$INOC" run "$yaml" --seeds ""
expect 2 "--seeds: 1 is given twice" "$INOC" run "$yaml" --seeds 1,1
expect 2 "unknown option '--frehs'" "$INOC" run "$yaml" --frehs
expect 3 "no-such.gguf" "$INOC" run "$yaml" --set model=no-such.gguf
printf 'name: x\nmodel m\n' > bad.yaml
expect 4 "bad.yaml:3:1: not valid YAML" "$INOC" run bad.yaml
printf 'name: x\nmodell: m\n' > bad.yaml
expect 4 "bad.yaml:2:1: unknown key 'modell'; did you mean 'model'?" "$INOC" run bad.yaml
printf 'not a model' > model.gguf
expect 4 "model.gguf" "$INOC" run "$yaml" --set "model=$dir/model.gguf" -n
expect 2 "there is no arm 'plian'; did you mean 'plain'?" "$INOC" run "$yaml" --set "model=$dir/model.gguf" -n --arms plian

# train and eval
expect 2 "give --model, --data and -o DIR" "$INOC" train
expect 2 "--schedule is 'step'; it must be one of linear, cosine, constant" "$INOC" train -m m -d d -o o --schedule step
expect 2 "unknown projection 'x'" "$INOC" train -m m -d d -o o --targets x
expect 2 "give only one of" "$INOC" train -m m -d d -o o --inoculate-system a --inoculate-user-prefix b
expect 2 "text 1 of the inoculation is empty" "$INOC" train -m m -d d -o o --inoculate-system ""
expect 2 "give --inoculate-system, --inoculate-user-prefix or --inoculate-user-suffix TEXT, or --pool FILE" "$INOC" train -m m -d d -o o --tag t
expect 3 "nope.txt" "$INOC" train -m m -d d -o o --pool nope.txt
expect 2 "--at is 'here'; it must be system, user-prefix or user-suffix" "$INOC" train -m m -d d -o o --pool nope.txt --at here
expect 2 "rank is 0" "$INOC" train -m m -d d -o o --rank 0
expect 3 "missing.jsonl" "$INOC" train -m model.gguf -d missing.jsonl -o o
printf '{"messages": [{"role": "user", "content": "q"}]}\n' > no_answer.jsonl
expect 4 "no_answer.jsonl:1" "$INOC" train -m model.gguf -d no_answer.jsonl -o o
expect 2 "give --model and --prompts" "$INOC" eval
expect 2 "no built-in scorer is named 'nope'" "$INOC" eval -m model.gguf -p no_answer.jsonl --scorers nope
expect 2 "give settings as --scorer NAME" "$INOC" eval -m model.gguf -p no_answer.jsonl --scorer x
expect 2 "--scorer: not JSON: string or '}' expected" "$INOC" eval -m model.gguf -p no_answer.jsonl --scorer 'x={bad'
expect 2 "greedy answers to a prompt are all the same; -n 4 needs a --temperature" "$INOC" eval -m model.gguf -p no_answer.jsonl --greedy -n 4
expect 2 "--system own is for experiment files" "$INOC" eval -m model.gguf -p no_answer.jsonl --system own
expect 2 "--name is of an experiment in a store; give --store DB" "$INOC" eval -m model.gguf -p no_answer.jsonl --name x
expect 2 "--name 'a b' must be a name of letters, digits, _ and -" "$INOC" eval -m model.gguf -p no_answer.jsonl --store s --name "a b"
expect 2 "the scorer's name 'a b' must be of letters, digits, _ and -" "$INOC" eval -m model.gguf -p no_answer.jsonl --scorer 'a b={"type": "looping"}'
expect 2 "scorer 'looping' is given twice" "$INOC" eval -m model.gguf -p no_answer.jsonl --scorers looping,looping
[ -e s ] && fail "a refused eval made its store"
expect 2 "--scorers names no scorer" "$INOC" eval -m model.gguf -p no_answer.jsonl --scorers ""
head -c 9000 /dev/zero | tr '\0' x > junk.db
mkdir folder
expect 3 "folder: cannot be written: it is a folder" "$INOC" eval -m model.gguf -p no_answer.jsonl -o folder
expect 2 "--n is 0" "$INOC" eval -m model.gguf -p no_answer.jsonl --n 0
expect 4 "model.gguf" "$INOC" eval -m model.gguf -p no_answer.jsonl
expect 8 "junk.db" "$INOC" eval -m model.gguf -p no_answer.jsonl --store junk.db

# score and export
expect 2 "give --store DB and --scorer SCORER" "$INOC" score
expect 3 "there is no such store" "$INOC" score --store nope.db --scorer looping
expect 2 "no built-in scorer is named 'x'" "$INOC" score --store nope.db --scorer x
expect 2 "--scorer: not JSON" "$INOC" score --store nope.db --scorer 'x={"type"'
expect 2 "give the scorer a name" "$INOC" score --store nope.db --scorer '{"type": "looping"}'
expect 8 "not a database" "$INOC" score --store junk.db --scorer looping
expect 2 "say where to write" "$INOC" export junk.db
expect 3 "there is no such store" "$INOC" export --samples s.jsonl nope
expect 8 "junk.db" "$INOC" export --samples s.jsonl junk.db
expect 3 "folder: there is no store in this folder (store.db); \`inoc run\` makes it" "$INOC" export --samples s.jsonl folder
expect 3 "folder: there is no store in this folder (store.db); \`inoc run\` makes it" "$INOC" score --store folder --scorer looping
: > empty.db
expect 8 "empty.db: the store is empty" "$INOC" score --store empty.db --scorer looping
[ -s empty.db ] && fail "a refused score wrote into its store"
[ -n "$(ls -- *.lock 2>/dev/null)" ] && fail "a refused score left a lock"
[ -e s.jsonl ] && fail "export left s.jsonl"
exit $bad
