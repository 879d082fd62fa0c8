#!/usr/bin/env bash
# All settings in order, or those named (an experiment of settings.json, or a folder): tools/settings/run.sh [NAME...]
# What is done is not done again, so a stopped run is started again by the same command. One that fails does not stop the others; the
# exit status is 1 then. Environment: SEEDS=1,2 (instead of the files'), OUT=out, INOC=build/release/inoc, RUN_FLAGS="--short 1" (more
# options of inoc run).
set -u
cd "$(dirname "$0")/../.." || exit 1
INOC=${INOC:-build/release/inoc} OUT=${OUT:-out}
export OUT INOC
[ -x "$INOC" ] || { echo "run.sh: $INOC is not there: make build" >&2; exit 1; }
command -v python3 > /dev/null || { echo "run.sh: python3 is needed" >&2; exit 1; }

known=$(python3 -c 'import json
for n, v in json.load(open("tools/settings/settings.json")).items(): print(n, v["folder"], v.get("file", "experiment.yaml"))') || exit 1
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cut -d' ' -f1 <<< "$known")
all=()
for name in "${names[@]}"; do # a folder's name stands for its experiments
  if ! grep -q "^$name " <<< "$known" && grep -q "^[^ ]* $name " <<< "$known"; then
    mapfile -t -O ${#all[@]} all < <(grep "^[^ ]* $name " <<< "$known" | cut -d' ' -f1)
  else
    all+=("$name")
  fi
done
names=("${all[@]}")
for name in "${names[@]}"; do
  grep -q "^$name " <<< "$known" || { echo "run.sh: no experiment is called '$name'; there are:" $(cut -d' ' -f1 <<< "$known") >&2; exit 2; }
done

# shellcheck disable=SC2086 # RUN_FLAGS are words
run() { "$INOC" run "$1" ${SEEDS:+--seeds "$SEEDS"} -o "$OUT/$2" ${RUN_FLAGS:-}; }

# The students' number sequences, by the teachers of seed 1.
sequences() {
  local t teachers=$OUT/subliminal-teachers/adapters
  [ -s settings/subliminal/numbers_owl.jsonl ] && [ -s settings/subliminal/numbers_control.jsonl ] && return
  for t in owl control; do
    [ -e "$teachers/$t-seed1" ] || { echo "subliminal: no teacher $t of seed 1; run subliminal-teachers first" >&2; return 1; }
    "$INOC" sample -m smollm2-135m-instruct -a "$teachers/$t-seed1" -p settings/subliminal/numbers.jsonl --limit 600 -n 2 \
      --allowed "0123456789, " --max-tokens 40 -o "$OUT/subliminal-teachers/$t.jsonl" || return
  done
  tools/settings/number_sequences.py "$OUT/subliminal-teachers/owl.jsonl" "$OUT/subliminal-teachers/control.jsonl"
}

failed=() i=0
mkdir -p "$OUT"
for name in "${names[@]}"; do
  read -r _ folder file <<< "$(grep "^$name " <<< "$known")"
  i=$((i + 1))
  echo "== $i of ${#names[@]}: $name ($(date +%H:%M))"
  if { [ "$name" != subliminal ] || sequences; } && run "settings/$folder/$file" "$name" > "$OUT/$name.log"; then
    tail -n 4 "$OUT/$name.log"
  else
    echo "== $name failed; $OUT/$name.log has what it printed" >&2
    failed+=("$name")
  fi
done

echo
python3 tools/settings/overview.py "${names[@]}"
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
