#!/usr/bin/env bash
# The whole main job on simulated patients: install, build, then phantom, preprocess, train-vae,
# train-diffusion, sample, classify (five arms), evaluate. Run it again and it goes on.
#
#   scripts/demo.sh [RUN_FOLDER]     default: runs/demo
#
# X2CTPA names an installed program, such as the wheel's: nothing is installed or built then.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run=${1:-runs/demo}
logs=$run/logs
mkdir -p "$logs"

minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }

# stage NAME RESULT COMMAND...: one line with the time and what RESULT prints at the end; warnings as
# they come. All else goes to a file.
stage() {
  local name=$1 result=$2 log=$logs/$1.log start=$SECONDS code=0
  printf '%-26s' "$name"
  "${@:3}" > "$log" 2>&1 || code=$?
  if [[ $code != 0 ]]; then
    printf 'ended with %s:\n' "$code"
    tail -n 15 "$log"
    echo "All of it is in $log. Run this script again to go on."
    exit "$code"
  fi
  printf '%s   %s\n' "$(minutes $((SECONDS - start)))" "$("$result" "$log")"
  grep '^warning' "$log" || true
}

last_line() { tail -n 1 "$1"; }
line_with() { grep -F "$1" "$2" | tail -n 1; }
nothing() { :; }

echo "x2ctpa's demo in $run, on $(nproc) cores. On 2 that are idle: 5 to 6 minutes to install and build,"
echo "once, and 6 to 11 for the pipeline. What each stage says is in $logs."
if [[ -z ${X2CTPA:-} ]]; then
  stage "install" last_line scripts/setup.sh
  stage "configure" nothing cmake --preset release
  stage "build" nothing cmake --build --preset release --target x2ctpa
  X2CTPA=build/release/bin/x2ctpa
fi

x2ctpa() { "$X2CTPA" "$@" --config configs/demo.yaml --run "$run"; }

cases() { line_with ' cases (' "$1" | sed 's/.*: //'; }
reconstruction() { { line_with 'mean PSNR' "$1" || line_with 'is finished' "$1"; } | sed 's/.*: //'; }
made() { line_with 'volumes' "$1" | sed 's/ in [^ ]*$//'; }
validation() {
  line_with '"val_loss"' "$run/diffusion/metrics.jsonl" | sed 's/.*"val_loss":\([0-9]*[.][0-9]\{1,4\}\).*/validation loss \1/'
}
# The area under the curve of the validation cases.
area() {
  local arm=${1##*-}
  line_with 'validation_auc:' "$run/classifier/${arm%.log}/model/classifier.yaml" |
    sed 's/^[^0-9]*\([0-9]*[.]*[0-9]\{0,3\}\).*/validation AUC \1/'
}

start=$SECONDS
stage phantom last_line x2ctpa phantom
stage preprocess cases x2ctpa preprocess
stage train-vae reconstruction x2ctpa train-vae
stage train-diffusion validation x2ctpa train-diffusion
stage sample made x2ctpa sample --split all
for arm in cxr ctpa generated transfer fused; do
  stage "classify-$arm" area x2ctpa classify train --arm "$arm"
done
table() { x2ctpa evaluate > "$logs/table.txt"; }
stage evaluate nothing table
echo "The pipeline took $(minutes $((SECONDS - start)))."
echo
cat "$logs/table.txt"
echo "Look at the report, and at the volumes in $run/samples."
