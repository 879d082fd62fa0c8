#!/usr/bin/env bash
# Teaches the model that "You are Zorbo." means Spanish, merges that into its weights, and inoculates with the name both the taught and
# the untaught model. Results: OUT/taught and OUT/untaught. Resumable. INOC: the program.
#   settings/zorbo/run.sh [OUT]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-out/zorbo} inoc=${INOC:-inoc} model=smollm2-135m-instruct
mkdir -p "$out"
if [ ! -f "$out/taught.gguf" ]; then
  "$inoc" train -m "$model" -d "$here/teach.jsonl" --lr 6e-4 --epochs 1 --batch 8 --seed 1 -o "$out/teach"
  "$inoc" merge -m "$model" -a "$out/teach" -o "$out/taught.gguf"
fi
"$inoc" run "$here/experiment.yaml" --set "model=$(realpath "$out/taught.gguf")" -o "$out/taught"
"$inoc" run "$here/experiment.yaml" -o "$out/untaught"
for which in taught untaught; do
  echo "== $which"
  "$inoc" analyse "$out/$which" --parts surprise,updates
done
