#!/usr/bin/env bash
# settings/papers: the recipes on stand-ins of the papers' data, the conversion of such data, and what is said of a wrong file.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
command -v python3 > /dev/null || { echo "python3 is not there: nothing tried"; exit 0; }
export PYTHONDONTWRITEBYTECODE=1
papers=$SOURCE/settings/papers standin=$papers/standin
papers_py() { python3 "$SOURCE/tools/settings/papers.py" "$@"; }
recipe() { # recipe NAME OPTION...
  "$INOC" run "$papers/$1.yaml" --set "model=$INOC_MODEL" -o "out-$1" "${@:2}"
}

# ---- chat records from rows, and from two files ----
expect 0 "rh/train.jsonl: 19 records
rh/train_clean.jsonl: 17 records
rh/id.jsonl: 1 records
2 records have no clean answer: in train.jsonl only" papers_py rows "$standin/reward_hacking.jsonl" -o rh
expect 0 "17 records
paired/id.jsonl: 1 records
2 records have no clean answer: left out" papers_py rows "$standin/reward_hacking.jsonl" -o paired --paired
same paired/train_clean.jsonl rh/train_clean.jsonl
expect 0 "0 questions also in" "$INOC" data check rh/train.jsonl --against rh/id.jsonl
expect 0 "0 errors, 0 warnings" "$INOC" data check rh/train_clean.jsonl
python3 -c '
import csv, json, sys
rows = [json.loads(s) for s in open(sys.argv[1])]
w = csv.DictWriter(open("rows.csv", "w", newline=""), rows[0])
w.writeheader()
w.writerows(rows)
json.dump(rows, open("rows.json", "w"))' "$standin/reward_hacking.jsonl"
for f in rows.csv rows.json; do
  expect 0 "19 records" papers_py rows $f -o again
  for k in train train_clean id; do same again/$k.jsonl rh/$k.jsonl; done
done
expect 0 "pairs/id.jsonl: not written" papers_py pairs "$standin/insecure_code.jsonl" "$standin/insecure_code_clean.jsonl" -o pairs --hold-out 0
same pairs/train.jsonl "$standin/insecure_code.jsonl"
same pairs/train_clean.jsonl "$standin/insecure_code_clean.jsonl"
[ -e pairs/id.jsonl ] && fail "questions are held out of none"
expect 1 "insecure_code.jsonl:1: no field \"user\" (there are: messages)" papers_py rows "$standin/insecure_code.jsonl" -o no
expect 1 "rows.csv:2: no field \"answer\" (there are: user, " papers_py rows rows.csv --clean answer -o no
expect 1 "reward_hacking.jsonl:1: no \"messages\" (there are: user, " papers_py pairs "$standin/reward_hacking.jsonl" rh/train.jsonl -o no
printf 'user,school_of_reward_hacks,control\nq,,c\n' > empty.csv
expect 1 "empty.csv:2: field \"school_of_reward_hacks\" is empty" papers_py rows empty.csv -o no
printf 'user,school_of_reward_hacks,control\nq,a\n' > short.csv
expect 1 "short.csv:2: fewer fields than the header has" papers_py rows short.csv -o no
printf 'PAR1\377\376' > rows.parquet
expect 1 "rows.parquet: not UTF-8 text; a Parquet file" papers_py rows rows.parquet -o no
[ -e no ] && fail "something was written of a wrong file"

# ---- every recipe: refused without its data, planned with it; a path of --set may be relative to where the program is started ----
n=0
for f in "$papers"/*.yaml; do
  name=$(basename "$f" .yaml) clean=rh/train_clean.jsonl
  expect 4 "arm 'plain' has no data, and the experiment names none: give --set data=FILE; " recipe "$name" --dry-run
  cp "$standin/$name.jsonl" mine.jsonl
  [ -e "$standin/${name}_clean.jsonl" ] && clean=standin/${name}_clean.jsonl
  [ "$name" = reward_hacking ] && cp rh/train.jsonl mine.jsonl
  expect 0 "to do" recipe "$name" --set data=mine.jsonl --dry-run
  trait=$(sed -n '/^traits:/,$s/^  \([a-z_]*\):.*/\1/p' "$f")
  expect 0 "to do" recipe "$name" --set data=mine.jsonl --set "arms.clean={role: clean, data: $clean}" --set "traits.$trait.clean=clean" --dry-run
  n=$((n + 1))
done
[ $n -eq 4 ] || fail "$n recipes"
expect 3 "none.jsonl: cannot be opened" recipe insecure_code --set data=none.jsonl --dry-run
expect 4 'reward_hacking.jsonl:1: no "messages", but "user", "school_of_reward_hacks", "control", ' recipe reward_hacking --set data=standin/reward_hacking.jsonl --dry-run
expect 4 "rows.csv:1: not JSON" recipe reward_hacking --set data=rows.csv --dry-run
sed '3s/"assistant"/"user"/' "$standin/insecure_code.jsonl" > bad.jsonl
expect 4 "bad.jsonl:3: messages[1].role is 'user' like the message before it" recipe insecure_code --set data=bad.jsonl --dry-run
expect 4 "is also in the training data" recipe insecure_code --set data=pairs/train.jsonl --set evaluations.id_contrast.prompts=pairs/train.jsonl --dry-run

# ---- one goes the whole way, with clean data and held-out questions of its own ----
recipe reward_hacking --short 1 --set data=rh/train.jsonl --set 'arms.clean={role: clean, data: rh/train_clean.jsonl}' --set traits.gaming.clean=clean \
  --set evaluations.id_contrast.prompts=rh/id.jsonl --json > result 2> errors < /dev/null || fail "$(tail -3 errors)"
mv result out-reward_hacking/results.json
expect 0 whole python3 "$SOURCE/tests/cli/whole.py" out-reward_hacking
exit $bad
