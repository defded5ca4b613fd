#!/bin/sh
# Makes docs/options.md anew from the program's own declarations.
set -eu
cd "$(dirname "$0")/.."
"${1:-build/release/bin/x2ctpa}" info --options > docs/options.md.new && mv docs/options.md.new docs/options.md
