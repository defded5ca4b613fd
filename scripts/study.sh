#!/usr/bin/env bash
# The study of docs/results.md on 2100 simulated patients: 1000 to train, 100 to validate, 1000 held
# out. Volumes by the recipe of the demo, by those of 0.1.0 and of configs/paper.yaml after
# as long a training; the PE experiment with all labels and with fewer; each X-ray sign by itself.
#
#   scripts/study.sh [RUN_FOLDER] [SEED] [PART...]
#
#   RUN_FOLDER   default: runs/study
#   SEED         of everything, the patients too; default: 0
#   PART         volumes, labels, signs, recipes; default: all of them in this order
#
# About two hours on 2 idle cores and 4 GB of disk. Run it again and it goes on. It prints the tables.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
run=${1:-runs/study}
seed=${2:-0}
parts=("${@:3}")
[[ ${#parts[@]} -gt 0 ]] || parts=(volumes labels signs recipes)
program=${X2CTPA:-build/release/bin/x2ctpa}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$run"

new() { "$program" "$@" --config configs/demo.yaml --config configs/study.yaml --seed "$seed" -q; }
say() { printf '%(%H:%M:%S)T  %s\n' -1 "$*"; }

# timed FOLDER NAME COMMAND...: the seconds of all cores go to FOLDER/cpu-NAME, once it is done.
timed() {
  local file=$1/cpu-$2 TIMEFORMAT='%U %S'
  [[ -e $file ]] && return
  mkdir -p "$1"
  { time "${@:3}" 2> "$file.log"; } 2> "$file.part"
  mv "$file.part" "$file"
}

volumes() {
  [[ -e $run/phantom/manifest.csv ]] || { say phantom; new phantom --run "$run"; }
  [[ -e $run/dataset/dataset.json ]] || { say preprocess; new preprocess --run "$run"; }
  say train-vae
  timed "$run" train-vae new train-vae --run "$run"
  say train-diffusion
  timed "$run" train-diffusion new train-diffusion --run "$run"
  say sample
  new sample --run "$run" --split all --preview false
  [[ -e $run/evaluation/metrics.json ]] || { say evaluate; new evaluate --run "$run"; }
  "$python" scripts/study_tables.py volumes "$run"
}

# variant NAME [ARGUMENTS]: the dataset with labels that scripts/study_tables.py writes. Its cases are
# made already; links spare the space.
variant() {
  local folder=$run/$1
  [[ -e $folder/dataset/dataset.json ]] && return
  mkdir -p "$folder"
  cp -rl "$run/dataset" "$folder/"
  rm "$folder/dataset/dataset.json"
  "$python" scripts/study_tables.py manifest "$run" "$run/phantom/$1.csv" "${@:2}"
  new preprocess --run "$folder" --input "$run/phantom/$1.csv"
}

# classify FOLDER UNLABELLED ARM...: with the dataset of FOLDER and the volumes of the study.
classify() {
  local folder=$1 arm
  for arm in "${@:3}"; do
    [[ -e $folder/classifier/$arm/scores.csv ]] && continue
    say "classify ${folder##*/} $arm"
    new classify train --run "$folder" --arm "$arm" --samples "$run/samples" --classifier.unlabelled "$2"
  done
}

# The arms with labels alone; then those of generated volumes taught by the true ones, in a folder of
# their own that has the other arms too.
labels() {
  local count folder taught arm list
  for count in 1000 500 200 100; do
    variant "labels-$count" --labels "$count" --seed "$seed"
    folder=$run/labels-$count taught=$run/labels-$count/taught
    classify "$folder" ignored ctpa cxr generated transfer distilled fused
    if [[ ! -e $taught/classifier ]]; then
      mkdir -p "$taught/part"
      cp -r "$folder/classifier/cxr" "$taught/part/"
      mv "$taught/part" "$taught/classifier"
      ln -sfn ../dataset "$taught/dataset"
    fi
    classify "$taught" taught generated fused
    list=()
    for arm in cxr generated transfer distilled fused ctpa; do list+=(--scores "$arm=$folder/classifier/$arm/scores.csv"); done
    for arm in generated fused; do list+=(--scores "$arm-taught=$taught/classifier/$arm/scores.csv"); done
    [[ -e $folder/evaluation/metrics.json ]] || new evaluate "${list[@]}" --out "$folder/evaluation"
  done
  "$python" scripts/study_tables.py labels "$run"
}

signs() {
  local sign
  for sign in enlarged_pa oligemia wedge effusion; do
    variant "sign-$sign" --sign "$sign"
    classify "$run/sign-$sign" ignored ctpa cxr generated
  done
  "$python" scripts/study_tables.py signs "$run"
}

# steps_of SECONDS FOLDER STAGE OPTION COMMAND...: prints how many steps of a training take SECONDS of
# all cores. Trained are 10 and 50 steps in FOLDER, which has what the stage needs.
steps_of() {
  local seconds=$1 folder=$2 stage=$3 option=$4 count
  for count in 10 50; do
    mkdir -p "$folder/$count"
    cp -rP "$folder"/needs/. "$folder/$count/"
    timed "$folder" "$stage-$count" "${@:5}" "$stage" --run "$folder/$count" "$option" "$count"
  done
  awk -v seconds="$seconds" '{ cpu[FILENAME] = $1 + $2 }
    END { printf "%d", seconds / ((cpu[ARGV[2]] - cpu[ARGV[1]]) / 40) }' \
    "$folder/cpu-$stage-10" "$folder/cpu-$stage-50"
}

# The same patients, 200 of those held out, in the window of those recipes. Each network is trained as
# long, in seconds of all cores, as that of the demo's recipe.
recipes() {
  local narrow=$run/narrow recipe folder needed steps vae_seconds diffusion_seconds
  vae_seconds=$(awk '{ print $1 + $2 }' "$run/cpu-train-vae")
  diffusion_seconds=$(awk '{ print $1 + $2 }' "$run/cpu-train-diffusion")
  old() { "$program" "$1" --config "configs/$recipe.yaml" --config configs/phantom-size.yaml --seed "$seed" -q "${@:2}"; }
  # shellcheck disable=SC2317  # steps_of() calls it
  denoiser() { old "$@" --diffusion.train.validate_every 0 --diffusion.train.preview_every 0; }
  recipe=recommended-vqgan
  if [[ ! -e $narrow/dataset/dataset.json ]]; then
    "$python" scripts/study_tables.py manifest "$run" "$run/phantom/narrow.csv" --held-out 200
    old preprocess --run "$narrow" --input "$run/phantom/narrow.csv"
  fi
  say "train-vae, VQ-GAN"
  mkdir -p "$narrow/trial/needs"
  ln -sfn "$(realpath "$narrow/dataset")" "$narrow/trial/needs/dataset"
  steps=$(steps_of "$vae_seconds" "$narrow/trial" train-vae --vae.train.steps old)
  timed "$narrow" train-vae old train-vae --run "$narrow" --vae.train.steps "$steps"
  for recipe in recommended-vqgan paper; do
    folder=$run/$recipe
    mkdir -p "$folder/trial/needs"
    for needed in dataset vae; do
      ln -sfn "$(realpath "$narrow/$needed")" "$folder/$needed"
      ln -sfn "$(realpath "$narrow/$needed")" "$folder/trial/needs/$needed"
    done
    say "train-diffusion, $recipe"
    steps=$(steps_of "$diffusion_seconds" "$folder/trial" train-diffusion --diffusion.train.steps denoiser)
    timed "$folder" train-diffusion denoiser train-diffusion --run "$folder" --diffusion.train.steps "$steps"
    local sampler=()
    [[ $recipe == paper ]] && sampler=(--sample.sampler.kind ddim --sample.sampler.steps 50)
    old sample --run "$folder" --split test --preview false "${sampler[@]}"
    [[ -e $folder/evaluation/metrics.json ]] || old evaluate --run "$folder"
  done
  "$python" scripts/study_tables.py recipes "$run"
}

for part in "${parts[@]}"; do "$part"; done
