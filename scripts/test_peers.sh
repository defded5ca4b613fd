#!/usr/bin/env bash
# Compares every model with the published implementation from PyPI, at random weights and several
# sizes: outputs, and the gradient of every parameter. Installs those packages into .venv-peers.
#
#   scripts/test.sh --peers [--reference DIR] [--only WORD]
#
#   --reference DIR  a checkout of the published X-ray2CTPA code: its own networks as well
#   --only WORD      the cases with WORD in their names
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."

scripts/setup.sh --cpu
scripts/setup_peers.sh tests/peers/requirements.txt
cmake --preset release
cmake --build --preset release --target check_vectors
rm -rf build/peers
.venv-peers/bin/python tests/peers/write_cases.py build/peers "$@"
scripts/check_vectors.sh build/peers
echo "peers: all within tolerance"
