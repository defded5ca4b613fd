#!/usr/bin/env bash
# Compares x2ctpa with stored outputs of the published implementations.
#
#   scripts/check_vectors.sh DIR [DEVICE]
#
# DIR holds cases.json, <case>.safetensors with inputs and outputs, and the checkpoints that the
# cases name. Converts every checkpoint with scripts/convert_weights.py into a temporary folder and
# runs the program check_vectors on it: one line per output with its relative error, exit code 1
# when one is above 1e-4 or a checkpoint does not convert. DEVICE is cpu or cuda. BUILD names another
# build folder than build/release.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
fail() { echo "check_vectors: $*" >&2; exit 1; }

case "${1:-}" in
  "" | -h | --help) usage; exit $(( $# == 0 )) ;;
esac
vectors=$(realpath "$1")
[[ -f $vectors/cases.json ]] || fail "$vectors/cases.json does not exist"
cd "$(dirname "$0")/.."
program=${BUILD:-build/release}/tests/check_vectors/check_vectors
[[ -x $program ]] || fail "$program does not exist; build it with: ninja -C ${BUILD:-build/release} check_vectors"
[[ -x .venv/bin/python ]] || fail ".venv is missing; run scripts/setup.sh"

converted=$(mktemp -d)
trap 'rm -rf "$converted"' EXIT
code=0
.venv/bin/python scripts/convert_cases.py "$vectors" "$converted" --program "$program" || code=1
"$program" "$converted" "$vectors/cases.json" "${2:-cpu}" || code=1
exit $code
