#!/usr/bin/env bash
# make bench: the pinned virtual environment, the roof's program, then bench/run.py. Arguments go to bench/run.py.
# BUILD: the build folder (default build/release); INOC_MODEL: the model file (default: the fetched one).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build/release}
bench/setup.sh
cmake --build "$build" --target inoc bench_gemm >/dev/null
if [ -z "${INOC_MODEL:-}" ]; then
	INOC_MODEL=$("$build/inoc" model fetch --quiet smollm2-135m-instruct)
fi
export INOC_MODEL
export PYTHONWARNINGS=ignore
.venv/bin/python bench/test_flops.py >&2
exec .venv/bin/python bench/run.py --inoc "$build/inoc" --gemm "$build/bench_gemm" "$@"
