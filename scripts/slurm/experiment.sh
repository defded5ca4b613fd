#!/usr/bin/env bash
# A whole experiment as a chain of jobs, each of which waits for the one before.
#
#   scripts/slurm/experiment.sh configs/paper.yaml runs/paper /data/manifest.csv
set -euo pipefail
config=$1 run=$2 manifest=$3
x2ctpa=${X2CTPA:-build/release/bin/x2ctpa}
gpu="--gpus=1 --cpus-per-task=8 --mem=64G --time=24:00:00"
last=""

# One process that stops with code 130 five minutes before its time is up is put back into the queue.
job() {  # name, options of sbatch, arguments of x2ctpa
  local name=$1 options=$2 after=""
  shift 2
  [[ -z $last ]] || after="--dependency=afterok:$last"
  # shellcheck disable=SC2086
  last=$(sbatch --parsable --job-name="x2ctpa-$name" --requeue --open-mode=append --output="%x-%j.log" \
    --signal=USR1@300 $options $after --wrap \
    "srun $x2ctpa $* --config $config --run $run; code=\$?; [[ \$code != 130 ]] || scontrol requeue \$SLURM_JOB_ID; exit \$code")
  echo "$name: job $last"
}

job preprocess "--cpus-per-task=16 --mem=64G --time=12:00:00" preprocess --input "$manifest"
job train-vae "$gpu" train-vae
last=$(sbatch --parsable --dependency="afterok:$last" --export="ALL,RUN=$run,CONFIG=$config,X2CTPA=$x2ctpa" \
  "$(dirname "$0")/train_diffusion.sbatch")
echo "train-diffusion: job $last"
job sample "$gpu" sample --split all
job classify "$gpu" classify train --arm generated
job evaluate "--cpus-per-task=8 --mem=32G --time=2:00:00" evaluate
