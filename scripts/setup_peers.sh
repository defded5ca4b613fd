#!/usr/bin/env bash
# Installs the published Python implementations that x2ctpa is compared with into .venv-peers
# (about 8 GB with the CUDA libraries that Python's torch needs to be imported).
#
#   scripts/setup_peers.sh REQUIREMENTS...
#
# Does nothing when these very requirements are installed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PYTHON=.venv-peers/bin/python
[[ $# != 0 ]] || { echo "setup_peers: name the files of requirements" >&2; exit 1; }

if ! "$PYTHON" -m pip --version > /dev/null 2>&1; then
  python3 -m venv --clear .venv-peers
fi
options=()
for file in "$@"; do
  stamp=.venv-peers/$(echo "$file" | tr / -)
  options+=(-r "$file")
  cmp -s "$file" "$stamp" || missing=1
done
if [[ -n ${missing:-} ]]; then
  echo "setup_peers: installing $* into .venv-peers"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check "${options[@]}"
  for file in "$@"; do cp "$file" ".venv-peers/$(echo "$file" | tr / -)"; done
fi
