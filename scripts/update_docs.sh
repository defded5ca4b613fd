#!/bin/sh
# Makes docs/options.md anew from the program's own declarations.
#   scripts/update_docs.sh [PROGRAM]    default: build/release/bin/x2ctpa
set -eu
cd "$(dirname "$0")/.."
program=${1:-build/release/bin/x2ctpa}
if [ ! -x "$program" ]; then
  echo "update_docs: there is no program $program. Build it first, or name another one." >&2
  exit 1
fi
trap 'rm -f docs/options.md.new' EXIT
"$program" info --options > docs/options.md.new
mv docs/options.md.new docs/options.md
