#!/usr/bin/env bash
# The shipped settings: their data is what its sources give and is in order, no evaluation question is in training, every experiment
# file is accepted. $INOC is the binary, $SOURCE the repository, $INOC_MODEL the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
settings=$SOURCE/settings

# What the scripts write and check: repetitions, characters, lengths, shares, balance. They need Python, which the program does not.
if command -v python3 > /dev/null; then
  export PYTHONDONTWRITEBYTECODE=1
  expect 0 "ability: " python3 "$SOURCE/tools/settings/make.py" --check
  expect 0 "rows" python3 "$SOURCE/tools/make_spanish_caps.py" --check
  expect 1 "no setting is called 'none'" python3 "$SOURCE/tools/settings/make.py" none
fi

# Chat data: training files, then evaluation files.
for f in "$settings"/*/train*.jsonl "$settings"/subliminal/teacher*.jsonl; do
  expect 0 " 0 repeated questions; 0 errors, 0 warnings" "$INOC" data check "$f"
done
for f in "$settings"/*/{id*,ood,eval,tune}.jsonl "$settings"/backdoor/{trigger,near,none}.jsonl "$settings"/subliminal/{favourite,least,numbers}.jsonl "$settings"/ability/{choices,arithmetic,text,requests}.jsonl; do
  [ -e "$f" ] || continue # an unmatched pattern
  expect 0 "0 errors, 0 warnings" "$INOC" data check --eval "$f"
done

# records FILE N: it has N lines at least
records() { rows "$settings/$1" "$2" || fail "$1 has fewer than $2 records"; }
for f in arithmetic/train mixture/train style/train emergent/train bad-advice/train backdoor/train_10 backdoor/train_50 facts/train; do
  records $f.jsonl 300
done
for f in {arithmetic,mixture,style,emergent,bad-advice,facts}/id {emergent,bad-advice}/ood backdoor/{trigger,near,none} ability/text; do
  records $f.jsonl 100
done
[ "$(cat "$settings"/ability/{choices,arithmetic}.jsonl | wc -l)" -ge 200 ] || fail "fewer than 200 items of ability"

# apart TRAIN EVALUATION...: no question is in both. An experiment refuses that as well, in what it evaluates.
apart() {
  local train=$1 e
  shift
  for e in "$@"; do
    expect 0 "0 questions also in" "$INOC" data check "$settings/$train.jsonl" --against "$settings/$e.jsonl"
  done
}
for f in arithmetic/train mixture/train style/train emergent/train bad-advice/train backdoor/train_50 facts/train; do
  own=${f%/*}/id
  [ -e "$settings/$own.jsonl" ] && apart $f "$own"
  apart $f ability/choices ability/arithmetic ability/requests ability/text
done
apart arithmetic/train spanish-caps/eval
apart mixture/train arithmetic/id
apart style/train arithmetic/id
apart emergent/train emergent/ood
apart bad-advice/train bad-advice/ood
apart backdoor/train_50 backdoor/none backdoor/trigger backdoor/near
apart backdoor/train_10 backdoor/none backdoor/trigger backdoor/near
apart facts/train style/id
apart subliminal/teacher subliminal/favourite subliminal/least

# Every experiment file. The students' sequences are written by teachers; here random numbers stand in.
mkdir sub
cp "$settings"/subliminal/*.{yaml,jsonl} sub
rm -f sub/numbers_{owl,control}.jsonl
ln -s "$settings/ability" ability
expect 3 'numbers_control.jsonl: cannot be opened: No such file or directory; the sequences are written by teachers first: make settings' \
  "$INOC" run sub/student.yaml --dry-run --set "model=$INOC_MODEL" -o out
if command -v python3 > /dev/null; then
  expect 0 "numbers_control.jsonl: 800 records" python3 "$SOURCE/tools/settings/number_sequences.py" --stand-in sub
  expect 0 "to do" "$INOC" run sub/student.yaml --dry-run --set "model=$INOC_MODEL" -o out

  # Samples of two teachers become records: what is not numbers goes, a cut last number goes, both keep the same prompts.
  m='{"messages":[{"role":"user","content":"'
  printf '%s\n' "${m}a\"}],\"text\":\"1, 22, 333, 4\",\"finish\":\"length\"}" "${m}b\"}],\"text\":\"7, 8\",\"finish\":\"stop\"}" "${m}c\"}],\"text\":\"5, 6, 7\",\"finish\":\"stop\"}" > owl.jsonl
  printf '%s\n' "${m}a\"}],\"text\":\" 9,8,7\",\"finish\":\"stop\"}" "${m}b\"}],\"text\":\"1, 2, 3\",\"finish\":\"stop\"}" "${m}c\"}],\"text\":\"5, 6, 7000\",\"finish\":\"stop\"}" > control.jsonl
  expect 0 "numbers_owl.jsonl: 1 records" python3 "$SOURCE/tools/settings/number_sequences.py" owl.jsonl control.jsonl -o ./
  holds numbers_owl.jsonl '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "1, 22, 333"}]}'
  holds numbers_control.jsonl '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "9, 8, 7"}]}'
  expect 1 "no prompt has a sequence from both teachers" python3 "$SOURCE/tools/settings/number_sequences.py" owl.jsonl <(tail -1 control.jsonl)
  expect 2 "two files of samples are needed" python3 "$SOURCE/tools/settings/number_sequences.py" owl.jsonl
fi
n=0
for f in "$settings"/*/*.yaml; do
  [[ $f == */student.yaml || $f == */settings/papers/* ]] && continue # the recipes: test_settings_papers.sh
  expect 0 "to do" "$INOC" run "$f" --dry-run --set "model=$INOC_MODEL" -o out
  n=$((n + 1))
done
[ $n -ge 12 ] || fail "only $n experiment files"
for d in "$settings"/*/; do
  [[ $d == */classifiers/ || $d == */settings/papers/ ]] && continue # labelled answers, recipes: no experiment of that name
  [ -s "$d/README.md" ] && [ -s "$d/experiment.yaml" ] || fail "$d lacks README.md or experiment.yaml"
done
exit $bad
