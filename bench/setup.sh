#!/usr/bin/env bash
# Makes .venv with the pinned reference programs (bench/requirements.txt); does nothing when they are already there.
#   bench/setup.sh [--llama]    --llama: also llama.cpp, compiled from source (some ten minutes)
set -euo pipefail
cd "$(dirname "$0")/.."
list=(-r bench/requirements.txt)
stamp=$(sha256sum bench/requirements.txt | cut -d' ' -f1)
case "${1:-}" in
"") ;;
--llama)
	list+=(llama-cpp-python==0.3.36)
	stamp=$stamp-llama
	;;
*)
	echo "usage: bench/setup.sh [--llama]" >&2
	exit 2
	;;
esac
have=$(cat .venv/stamp 2>/dev/null || true)
[ "$have" = "$stamp" ] || [ "$have" = "$stamp-llama" ] && exit 0
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
echo "installing the reference programs into .venv (some 6 GB)" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check "${list[@]}"
echo "$stamp" >.venv/stamp
