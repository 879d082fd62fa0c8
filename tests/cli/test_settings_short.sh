#!/usr/bin/env bash
# Every shipped experiment goes the whole way in short: training, all evaluations and scorers, grid, report. Structure, no effects.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
command -v python3 > /dev/null || { echo "python3 is not there: nothing tried"; exit 0; }
export PYTHONDONTWRITEBYTECODE=1

whole() { # whole FILE OUT
  "$INOC" run "$1" --short 1 --set "model=$INOC_MODEL" -o "$2" --json > result 2> errors < /dev/null || fail "$1: $(tail -3 errors)"
  [ -d "$2" ] && mv result "$2/results.json"
  expect 0 whole python3 "$SOURCE/tests/cli/whole.py" "$2"
  rm -rf "$2"
}
n=0
for f in "$SOURCE"/settings/*/*.yaml; do
  case $f in
    */student.yaml) continue ;;                                        # below
    */settings/papers/*) continue ;;                                   # test_settings_papers.sh
    */spanish-caps/*.yaml | */zorbo/*) [[ $f == */spanish-caps/experiment.yaml ]] || continue ;; # no settings of their own
  esac
  whole "$f" out
  n=$((n + 1))
done
[ $n -ge 11 ] || fail "only $n experiments"
mkdir sub
cp "$SOURCE"/settings/subliminal/*.{yaml,jsonl} sub
ln -s "$SOURCE/settings/ability" ability
python3 "$SOURCE/tools/settings/number_sequences.py" --stand-in sub > /dev/null || fail "no stand-in"
whole sub/student.yaml out

# Short results have their own name and folder, and are not the experiment's.
expect 0 "-short" "$INOC" run "$SOURCE/settings/facts/experiment.yaml" --short 2 --arms base,plain --dry-run --set "model=$INOC_MODEL"
expect 0 "facts-short" "$INOC" run "$SOURCE/settings/facts/experiment.yaml" --short 2 --dry-run --set "model=$INOC_MODEL"
expect 2 "short" "$INOC" run "$SOURCE/settings/facts/experiment.yaml" --short -1 --dry-run --set "model=$INOC_MODEL"
exit $bad
