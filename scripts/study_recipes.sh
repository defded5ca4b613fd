#!/usr/bin/env bash
# The study of docs/recipes.md: recipes compared on simulated patients at the size of the demo, all
# with the same dataset, autoencoder, networks, batch size and computing time.
#
#   scripts/study_recipes.sh [RUN_FOLDER] [SECONDS] [RECIPE...]
#
#   RUN_FOLDER   default: runs/recipes
#   SECONDS      of training each, on an idle machine; default: 200
#   RECIPE       default: all; "paper" and "recommended" must be among them
#
# The cores' time of 30 steps of each recipe is measured first, and each gets as many steps as fit
# SECONDS on all cores: whatever else the machine does, all train equally long. Run it again and it
# goes on. It prints a table.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=${1:-runs/recipes}
seconds=${2:-200}
program=${X2CTPA:-build/release/bin/x2ctpa}
base=$run/base
cores=$(nproc)
quiet=(--diffusion.train.validate_every 0 --diffusion.train.preview_every 0)

# The recipes. Every "without" is the recommended one with a single change taken back.
declare -A flags=(
  [paper]=""
  [recommended]=""
  [without-spatial-condition]="--diffusion.denoiser.spatial_condition false"
  [without-v-prediction]="--diffusion.process.prediction noise --diffusion.process.schedule.zero_terminal_snr false"
  [without-standard-scale]="--diffusion.latent_scale range"
  [without-squared-error]="--diffusion.loss.kind l1"
  [without-zero-terminal-snr]="--diffusion.process.schedule.zero_terminal_snr false"
  [without-one-cycle-rate]="--diffusion.train.schedule constant --diffusion.train.learning_rate 1e-4"
  [paper-with-one-cycle-rate]="--diffusion.train.schedule one-cycle --diffusion.train.learning_rate 1e-3"
)
order=("${@:3}")
[[ ${#order[@]} -gt 0 ]] || order=(paper recommended without-spatial-condition without-v-prediction without-standard-scale
  without-squared-error without-zero-terminal-snr without-one-cycle-rate paper-with-one-cycle-rate)

x2ctpa() {  # RECIPE COMMAND RUN [FLAGS]
  local recipe=$1 command=$2 folder=$3; shift 3
  local file=configs/recommended-vqgan.yaml
  [[ $recipe == paper* ]] && file=configs/paper.yaml
  nice -n 5 "$program" "$command" --config $file --config configs/phantom-size.yaml --run "$folder" "$@"
}
# Trains, and writes the cores' seconds into FOLDER/cpu.
train() {  # RECIPE FOLDER [FLAGS]
  local TIMEFORMAT='%U %S'
  mkdir -p "$2"
  ln -sfn "$(realpath "$base/dataset")" "$2/dataset"
  ln -sfn "$(realpath "$base/vae")" "$2/vae"
  # shellcheck disable=SC2086
  { time x2ctpa "$1" train-diffusion "$2" "${quiet[@]}" ${flags[$1]} "${@:3}" 2> "$2/stderr.txt"; } 2> "$2/cpu"
}

if [[ ! -e $base/vae/model/config.yaml ]]; then
  for command in phantom preprocess train-vae; do nice -n 5 "$program" "$command" --config configs/phantom-size.yaml --run "$base"; done
fi
for recipe in "${order[@]}"; do
  for steps in 5 35; do
    [[ -e $run/$recipe/trial-$steps/diffusion/model/config.yaml ]] || train "$recipe" "$run/$recipe/trial-$steps" --diffusion.train.steps $steps
  done
done
for recipe in "${order[@]}"; do
  folder=$run/$recipe
  steps=$(.venv/bin/python scripts/study_table.py steps "$folder/trial-5/cpu" "$folder/trial-35/cpu" $((seconds * cores)))
  [[ -e $folder/diffusion/model/config.yaml ]] || train "$recipe" "$folder" --diffusion.train.steps "$steps"
  sampler=()
  # 1000 ancestral steps would take longer than the training.
  [[ $recipe == paper* ]] && sampler=(--sample.sampler.kind ddim --sample.sampler.steps 50)
  x2ctpa "$recipe" sample "$folder" --split test --preview false "${sampler[@]}"
  [[ -e $folder/evaluation/per_case.csv ]] || x2ctpa "$recipe" evaluate "$folder"
done
.venv/bin/python scripts/study_table.py table "$run" "${order[@]}"
.venv/bin/python scripts/study_table.py curves "$run" "$run/curves.svg" "${order[@]}"
