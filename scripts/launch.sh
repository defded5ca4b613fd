#!/usr/bin/env bash
# Starts several processes of one program on this machine that train together. It sets the variables
# that torchrun sets (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT), for
# machines without a Python that can import torch.
#
#   scripts/launch.sh -n 2 -- build/release/bin/x2ctpa train-diffusion --config ... --run ...
#
# SIGTERM, SIGUSR1 and Ctrl-C go on to every process. When one fails, the others have ten seconds to
# end by themselves. The exit code is that of the first process that failed.
set -u

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
fail() { echo "launch: $*" >&2; exit 1; }

count=""
while [[ $# -gt 0 ]]; do
  case "$1" in
    -n) count=${2:-}; shift 2 || fail "-n needs a number" ;;
    --) shift; break ;;
    -h | --help) usage; exit 0 ;;
    *) fail "\"$1\" is not known; the program goes after --" ;;
  esac
done
[[ $count =~ ^[1-9][0-9]*$ ]] || fail "expected -n and a number of processes, found \"$count\""
[[ $# -gt 0 ]] || fail "expected a program after --"

free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || { echo "$port"; return; }
  done
}

port=${MASTER_PORT:-$(free_port)}
processes=()
for ((rank = 0; rank < count; ++rank)); do
  RANK=$rank LOCAL_RANK=$rank WORLD_SIZE=$count LOCAL_WORLD_SIZE=$count \
    MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$@" &
  processes+=($!)
done

send() { kill "-$1" "${processes[@]}" 2> /dev/null; }
# shellcheck disable=SC2064  # each trap has its own signal
for signal in TERM USR1 INT; do trap "send $signal" "$signal"; done

# After the first failure: a while to end by themselves, then the end.
status=0 deadline=""
while [[ ${#processes[@]} -gt 0 ]]; do
  sleep 0.1
  alive=()
  for process in "${processes[@]}"; do
    if kill -0 "$process" 2> /dev/null; then alive+=("$process"); continue; fi
    wait "$process"
    code=$?
    if [[ $code != 0 && $status == 0 ]]; then status=$code deadline=$((SECONDS + 10)); fi
  done
  processes=("${alive[@]}")
  [[ -z $deadline || $SECONDS -lt $deadline || ${#alive[@]} == 0 ]] && continue
  send KILL
done
exit "$status"
