#!/usr/bin/env bash
# The whole main job on simulated patients: install, build, then phantom, preprocess, train-vae,
# train-diffusion, sample, classify (three arms), evaluate. Run it again and it goes on.
#
#   scripts/demo.sh [RUN_FOLDER]     default: runs/demo
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/setup.sh
cmake --preset release
cmake --build --preset release --target x2ctpa

run=${1:-runs/demo}
# Waiting OpenMP threads spin for some microseconds and then sleep: as fast as spinning on, and not
# a burden to whatever else runs on the cores.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}
x2ctpa() { build/release/bin/x2ctpa "$@" --config configs/demo.yaml --run "$run"; }

start=$SECONDS
x2ctpa phantom
x2ctpa preprocess
x2ctpa train-vae
x2ctpa train-diffusion
x2ctpa sample --split all
for arm in cxr ctpa generated; do x2ctpa classify train --arm "$arm"; done
x2ctpa evaluate
echo "The pipeline took $(( (SECONDS - start) / 60 )) min $(( (SECONDS - start) % 60 )) s."
echo "Report: $run/evaluation/report.html"
