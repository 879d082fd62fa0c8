#!/usr/bin/env bash
# Makes .venv with the pinned reference programs (bench/requirements.txt), llama.cpp compiled for this CPU among them (some ten
# minutes); does nothing when they are already there.
set -euo pipefail
cd "$(dirname "$0")/.."
flags="-DGGML_NATIVE=ON -DGGML_OPENMP=ON -DGGML_LLAMAFILE=ON"
stamp=$({ cat bench/requirements.txt && echo "$flags"; } | sha256sum | cut -d' ' -f1)
[ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && exit 0
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
	echo "bench/setup.sh: python3 has no venv module; run: apt-get install -y python3-venv" >&2
	exit 1
fi
free_mib=$(df -Pm . | awk 'NR == 2 { print $4 }')
if [ "$free_mib" -lt 8000 ]; then
	echo "bench/setup.sh: the reference programs need about 8000 MiB of disk, there are $free_mib" >&2
	exit 1
fi
[ -x .venv/bin/python ] || python3 -m venv .venv
echo "installing the reference programs into .venv (some 6 GB; llama.cpp is compiled: some ten minutes)" >&2
CMAKE_ARGS=$flags CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) .venv/bin/python -m pip install --quiet --disable-pip-version-check \
	--no-binary llama-cpp-python -r bench/requirements.txt
echo "$stamp" >.venv/stamp
