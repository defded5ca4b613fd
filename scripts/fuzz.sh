#!/usr/bin/env bash
# libFuzzer over everything that reads other people's files, with AddressSanitizer, UBSan and the
# limits of docs/reliability.md: what is found is an input on which the program crashed, leaked,
# gave an unsound result, or took more than 10 s, 1 GB in one piece or 2.5 GB in all.
#
#   scripts/fuzz.sh [MINUTES] [TARGET...]      default: 1 minute for each target
#
# Seeds are made (tests/fuzz/make_seeds.py); the corpus grows in build/fuzz/corpus from run to run.
# Findings stay in build/fuzz/findings; run one again with
#   X2CTPA_FUZZ_TARGET=dicom build/fuzz/bin/x2ctpa_fuzz build/fuzz/findings/dicom-crash-...
# Ends with 1 when something was found. Needs clang (apt-get install clang libclang-rt-dev, on
# Debian 12 clang alone).
set -uo pipefail
cd "$(dirname "$0")/.." || exit
minutes=1
if [[ ${1:-} =~ ^[0-9.]+$ ]]; then
  minutes=$1
  shift
fi
seconds=$(awk "BEGIN { print int($minutes * 60) }")
all=(dicom_walk dicom nifti nrrd metaimage summary picture archive csv manifest splits dataset
  experiment safetensors checkpoint scores)
[[ $# != 0 ]] || set -- "${all[@]}"

dictionary() {
  case $1 in
    dicom*) echo dicom ;;
    nifti | nrrd | metaimage | summary) echo volume ;;
    picture | archive) echo "$1" ;;
    *) echo text ;;
  esac
}

cmake --preset fuzz > /dev/null && cmake --build --preset fuzz || exit
work=build/fuzz
program=$work/bin/x2ctpa_fuzz
python3 tests/fuzz/make_seeds.py $work/seeds || exit
mkdir -p $work/findings $work/logs
export OMP_NUM_THREADS=1
export ASAN_OPTIONS=allocator_may_return_null=0:detect_odr_violation=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tests/leaks_of_libraries.txt:print_suppressions=0

code=0
printf '%-12s %10s %8s %8s %8s  %s\n' target executions edges features corpus findings
for target in "$@"; do
  mkdir -p "$work/corpus/$target"
  log=$work/logs/$target.log
  before=$(find $work/findings -name "$target-*" | wc -l)
  X2CTPA_FUZZ_TARGET=$target nice -n 15 $program "$work/corpus/$target" "$work/seeds/$target" \
    -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=1000 -rss_limit_mb=2500 -max_len=8192 \
    -close_fd_mask=3 -print_final_stats=1 -artifact_prefix="$work/findings/$target-" \
    -dict="tests/fuzz/dictionaries/$(dictionary "$target").dict" > "$log" 2>&1
  status=$?
  found=$(($(find $work/findings -name "$target-*" | wc -l) - before))
  last=$(grep -E '^#[0-9]+.* cov: ' "$log" | tail -1)
  number() { sed -nE "s/.* $1: ([0-9]+).*/\1/p" <<< "$last"; }
  printf '%-12s %10s %8s %8s %8s  %s\n' "$target" "$(sed -nE 's/^#([0-9]+).*/\1/p' <<< "$last")" \
    "$(number cov)" "$(number ft)" "$(number corp)" \
    "$([[ $status == 0 ]] && echo none || echo "$found, see $log")"
  [[ $status == 0 ]] || code=1
done
exit $code
