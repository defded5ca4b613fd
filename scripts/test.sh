#!/usr/bin/env bash
# Installs what is missing, builds the preset `release` and runs the tests.
# Arguments go to ctest: scripts/test.sh -R models
#
# scripts/test.sh --peers compares the models with the published Python implementations instead
# (scripts/test_peers.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --peers ]]; then exec scripts/test_peers.sh "${@:2}"; fi

echo "x2ctpa's tests on $(nproc) cores. On 2 that are idle: about 15 minutes to install and build, once,"
echo "and 8 minutes to run."
scripts/setup.sh --cpu --nccl --x2ct
cmake --preset release
cmake --build --preset release
# Two tests run at a time, each with its own threads: waiting threads must not spin.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-5000}
exec ctest --preset release --parallel 2 --output-on-failure --no-tests=error "$@"
