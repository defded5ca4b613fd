#!/usr/bin/env bash
# An afternoon with x2ctpa as a new user has it: an own manifest, a check, a dataset, small
# trainings that are stopped and gone on with, samples, classifiers, evaluations of a run and of plain
# folders, and mistakes. Exit codes, messages and numbers are asserted; the first that is wrong ends it.
#
#   scripts/walkthrough.sh [--short] [FOLDER]     default: a temporary folder, removed at the end
#
# --short: simulated patients alone, at most 2 minutes; a test. Otherwise also the public images in
# ../shared/real, where they are. X2CTPA names the program; default: build/release/bin/x2ctpa.
set -euo pipefail
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${X2CTPA:-$source_folder/build/release/bin/x2ctpa}
real=$source_folder/../shared/real

short=no
if [[ ${1:-} == --short ]]; then
  short=yes
  shift
fi
if [[ $# -gt 0 ]]; then
  work=$1
  mkdir -p "$work"
else
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
fi

step() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

fail() {
  printf 'walkthrough: %s\nThe command: %s\nstdout:\n%s\nstderr:\n%s\n' "$1" "$line" "$(tail -n 20 "$work/out")" \
    "$(tail -n 20 "$work/err")" >&2
  exit 1
}

# ends CODE ARGUMENTS...: runs the program, which must end with CODE.
ends() {
  local expected=$1 code=0
  shift
  line="x2ctpa $*"
  "$program" "$@" > "$work/out" 2> "$work/err" || code=$?
  [[ $code == "$expected" ]] || fail "expected the exit code $expected, found $code"
}

# says / says_not TEXT...: in stdout or stderr of the last command.
says() {
  local text
  for text in "$@"; do
    grep -qF -- "$text" "$work/out" "$work/err" || fail "expected to read \"$text\""
  done
}
says_not() {
  local text
  for text in "$@"; do
    if grep -qF -- "$text" "$work/out" "$work/err"; then fail "expected not to read \"$text\""; fi
  done
}

# holds FILE EXPRESSION: a Python expression over `data`, the JSON file or the rows of the CSV file.
holds() {
  python3 - "$1" "$2" << 'PYTHON' || fail "in $1 this does not hold: $2"
import csv, json, sys
file, expression = sys.argv[1:]
with open(file, newline="") as stream:
    data = json.load(stream) if file.endswith(".json") else list(csv.DictReader(stream))
sys.exit(0 if eval(expression) else 1)
PYTHON
}

run=$work/run
cat > "$work/tiny.yaml" << 'YAML'
runtime: {threads: 1}
phantom: {patients: 16, ct_size: 48, slices: 24, cxr_size: 64}
preprocess: {grid: [8, 16, 16], field_of_view_mm: [360, 260, 300], cxr_size: 32, splits: [0.5, 0.25, 0.25]}
vae:
  model: {hidden_channels: 4, embedding_dim: 4, codes: 16, downsample: [2, 4, 4]}
  train: {steps: 6, batch_size: 2, checkpoint_every: 3, validate_every: 3}
diffusion:
  denoiser: {unet: {dim: 8, dim_mults: [1, 2]}, encoder: {width: 4, embedding_dim: 16, groups: 2}}
  train: {steps: 3000, batch_size: 2, checkpoint_every: 10, validate_every: 1000}
sample: {sampler: {steps: 3}}
classifier:
  model: {blocks: [1, 1], growth: 4, init_features: 4}
  train: {steps: 4, batch_size: 4, checkpoint_every: 2}
evaluate: {bootstrap: 50}
YAML
in_run=(--config "$work/tiny.yaml" --run "$run")

step "what a new user types"
ends 1 trainvae && says "did you mean x2ctpa train-vae?"
ends 1 predict && says "x2ctpa sample"
ends 1 sample --step 3 && says "did you mean --steps?"
ends 0 sample --help && says "Usage: x2ctpa sample [MODEL] [X-RAYS] [OUT]" "Examples:" "--help-all"
says_not "$program"
printf 'vae: {train: {steps: 3}}\nvae: {train: {batch_size: 2}}\n' > "$work/twice.yaml"
ends 1 train-vae --config "$work/twice.yaml" --run "$run" && says 'line 2: "vae" is there twice'
for missing in "preprocess --input" "sample --cxr" "classify predict --arm cxr --dataset" "evaluate --run" info; do
  read -ra words <<< "$missing"
  ends 2 "${words[@]}" "$work/nowhere" && says nowhere
done

step "simulated patients, an own manifest from a spreadsheet"
ends 0 phantom "${in_run[@]}" && says "16 patients in"
python3 - "$run/phantom" << 'PYTHON'
import csv, sys
folder = sys.argv[1]
with open(f"{folder}/manifest.csv", newline="") as stream:
    rows = list(csv.DictReader(stream))
# As a spreadsheet exports it, and once with a column whose name is nearly right.
for name, patient, count in (("near.csv", "Patient", 2), ("own.csv", " PATIENT_ID", 16)):
    with open(f"{folder}/{name}", "w", newline="", encoding="utf-8-sig") as stream:
        table = csv.writer(stream, delimiter=";")
        table.writerow(["ID", patient, "Ct", "CXR", "PE", "remark of the ward"])
        for row in rows[:count]:
            table.writerow([row["id"], "of " + row["patient_id"], row["ct"], row["cxr"], row["pe"], "none; really"])
PYTHON
ends 0 preprocess --check "${in_run[@]}" --input "$run/phantom/near.csv" --check-out "$work/near"
says "2 studies: 2 usable" 'the column "Patient" is not read; if it is "patient_id", give it that name'
says "columns that are not read: remark of the ward"
ends 0 preprocess --check "${in_run[@]}" --input "$run/phantom/own.csv" && says "16 studies: 16 usable"
says "columns that are not read: remark of the ward" && says_not "if it is"
holds "$run/check/report.json" 'data["usable"] == 16 and all(s["ct"]["lung_litres"] > 1 for s in data["studies"])'
ends 0 preprocess "${in_run[@]}" --input "$run/phantom/own.csv" && says "16 cases"
holds "$run/dataset/index.csv" 'len(data) == 16 and {row["split"] for row in data} == {"train", "val", "test"}'
holds "$run/dataset/index.csv" '{row["pe"] for row in data} == {"0", "1"}'
holds "$run/dataset/index.csv" 'all(row["patient_id"] == "of " + row["id"] for row in data)'
ends 0 info "$run/dataset"

step "a volume whose qform and sform contradict each other"
mkdir -p "$work/turned"
python3 - "$run/dataset/ct/P0001.nii" "$work/turned/turned.nii" << 'PYTHON'
import struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
# The first row of the sform (bytes 280 to 295): the patient's left becomes the right.
row = struct.unpack_from("<4f", data, 280)
struct.pack_into("<4f", data, 280, *(-value for value in row))
open(sys.argv[2], "wb").write(data)
PYTHON
ends 0 info "$work/turned/turned.nii" --json
cp "$work/out" "$work/turned.json"
holds "$work/turned.json" '"forms-contradict" in data["problems"]'
ends 2 preprocess "${in_run[@]}" --input "$work/turned" --out "$work/of_turned" && says "forms-contradict" "preprocess.nifti_form"
ends 0 preprocess "${in_run[@]}" --input "$work/turned" --out "$work/by_qform" --preprocess.nifti_form qform --preprocess.box none
says "the qform is taken, as preprocess.nifti_form says" "1 case"

step "trainings: stopped, gone on with, finished, changed"
ends 130 train-vae "${in_run[@]}" --max-steps 2 && says "stopped at step 2 of 6" && says_not "error"
ends 0 train-vae "${in_run[@]}" && says "going on from step 2 of 6" "mean PSNR"
ends 0 train-vae "${in_run[@]}" && says "is finished after 6 steps" && says_not "mean PSNR"
ends 1 train-vae "${in_run[@]}" --steps 8 && says "With --force a training that has ended goes on"
ends 1 train-vae "${in_run[@]}" --force --vae.model.hidden_channels 8 && says "not with another network"
"$program" train-diffusion "${in_run[@]}" > "$work/out" 2> "$work/err" &
training=$!
until [[ -n $(find "$run/diffusion/checkpoints" -name '*.safetensors' 2> /dev/null) ]]; do
  kill -0 $training 2> /dev/null || fail "train-diffusion ended by itself"
  sleep 0.1
done
kill -TERM $training
code=0
wait $training || code=$?
line="x2ctpa train-diffusion, ended by SIGTERM"
[[ $code == 130 ]] || fail "expected the exit code 130, found $code"
steps=$(find "$run/diffusion/checkpoints" -name 'step-*.safetensors' | sort | tail -n 1 | sed 's/.*step-0*//; s/[.].*//')
ends 130 train-diffusion "${in_run[@]}" --max-steps 2 && says "going on from step $steps of 3000"
ends 0 train-diffusion "${in_run[@]}" --steps $((steps + 4)) --force
[[ -s $run/diffusion/model/SHA256SUMS ]] || fail "the model is not whole"

step "samples in three plain words"
mkdir -p "$work/xrays"
for i in 1 2 3; do cp "$run/phantom/P000$i/cxr.dcm" "$work/xrays/film$i.dcm"; done
ends 0 sample "$run" "$work/xrays" "$work/volumes" --steps 3 && says "3 volumes made"
ends 0 sample "$run/diffusion/model" "$work/xrays" "$work/volumes" --steps 3 && says "nothing to do"
holds "$work/volumes/samples.csv" 'len(data) == 3 and all(row["steps"] == "3" for row in data)'
ends 0 info "$work/volumes/film1.nii.gz" && says SYNTHETIC
# What lies in folders: a CT, a volume, a broken file, a film as a 16-bit PNG, and names of all kinds.
cp -r "$run/phantom/P0001/ct" "$work/xrays/ct of the same day"
cp "$run/dataset/ct/P0001.nii" "$work/xrays/volume.nii"
echo "not a picture" > "$work/xrays/broken.png"
latin_1=$(printf 'r\366ntgen.dcm')
mv "$work/xrays/film2.dcm" "$work/xrays/$latin_1"
mv "$work/xrays/film3.dcm" "$work/xrays/胸部.dcm"
cp "$run/phantom/P0004/cxr.dcm" "$work/xrays/肺部.dcm"
python3 - "$run/phantom/P0005/cxr.dcm" "$work/xrays/twelve.png" << 'PYTHON'
import struct, sys, zlib
data, side = open(sys.argv[1], "rb").read(), 64
words = struct.unpack(f"<{side * side}H", data[-2 * side * side:])  # 12 bits in 16; PixelData is the last element
if b"MONOCHROME1" in data:
    words = [4095 - word for word in words]
lines = b"".join(b"\0" + struct.pack(f">{side}H", *words[side * y:side * y + side]) for y in range(side))
with open(sys.argv[2], "wb") as stream:
    stream.write(b"\x89PNG\r\n\x1a\n")
    for kind, content in ((b"IHDR", struct.pack(">2I5B", side, side, 16, 0, 0, 0, 0)),
                          (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
        crc = zlib.crc32(kind + content)
        stream.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc))
PYTHON
ends 3 sample "$run" "$work/xrays" "$work/more" --dicom && says "1 X-ray gave no volume" "5 volumes made"
says "25 files are passed over, 24 of CT or another modality (DICOM); 1 volume"
says "its values use 12 of 16 bits, so 4095 is taken as white"
holds "$work/more/failures.csv" 'len(data) == 1 and data[0]["name"] == "broken"'
holds "$work/more/samples.csv" '{row["case_id"] for row in data} == {"film1", "rxF6ntgen", "u80F8u90E8", "u80BAu90E8", "twelve"}'
ends 0 info "$work/more/dicom/u80F8u90E8" && says "SYNTHETIC"
ends 0 sample "${in_run[@]}" --split all && says "16 volumes made"

step "classifiers and the evaluation of the run"
for arm in cxr ctpa generated; do ends 0 classify train "${in_run[@]}" --arm $arm; done
ends 0 evaluate "${in_run[@]}"
says "Image quality, 4 cases" "right CXR" "report.html" && says_not "paper:" "nan"
holds "$run/evaluation/metrics.json" '"lung_mae_hu" in data["images"]["untold"] and data["images"]["cases"] == 4'
holds "$run/evaluation/metrics.json" 'data["images"]["metrics"]["psnr_db"]["generated"]["median"] > 3'
holds "$run/evaluation/metrics.json" 'data["images"]["metrics"]["psnr_db"]["generated_against_mean_volume"]["p"] is None'
holds "$run/evaluation/table.csv" 'all(float(v or 0) >= 0 for row in data for k, v in row.items() if k not in ("arm", "source"))'
ends 0 evaluate "${in_run[@]}" --published true && says "paper: True CTPA"

step "plain folders"
mkdir -p "$work/truth" "$work/made"
for i in 1 2 3; do
  cp "$run/dataset/ct/P000$i.nii" "$work/truth/P000$i.nii"
  cp "$run/samples/P000$i.nii.gz" "$work/made/P000$i.nii.gz"
done
ends 0 evaluate --generated "$work/made" --real "$work/truth" --out "$work/results"
says "Image quality, 3 cases" "p, another" && says_not "right CXR" "split" "Wilcoxon signed-rank p (exact)"
holds "$work/results/metrics.json" 'data["protocol"]["split"] is None and data["images"]["metrics"]["psnr_db"]["generated"]["n"] == 3'
ends 2 evaluate --generated "$work/volumes" --real "$work/truth" --out "$work/results"
says "paired by file name" && says_not "x2ctpa sample"
ends 0 evaluate --generated "$work/truth" --real "$work/truth" --out "$work/same"
holds "$work/same/metrics.json" 'abs(data["images"]["metrics"]["ssim_3d"]["generated"]["median"] - 1) < 1e-6 and data["images"]["metrics"]["mae_hu"]["generated"]["max"] == 0'
printf 'study_id,label,score\na,1,0.3\n' > "$work/one.csv"
ends 0 evaluate --scores "one=$work/one.csv" --out "$work/scores" && says "percent at evaluate.threshold, 0.5"
holds "$work/scores/table.csv" 'data[0]["accuracy"] == "" and data[0]["auc"] == ""'
printf 'STUDY_ID;Label;patient;score\na;1;p;0.9\nb;0;p;0.3\nc;0;q;0.4\n' > "$work/near.csv"
ends 0 evaluate --scores "near=$work/near.csv" --out "$work/scores"
says 'the column "patient" is not read; if it is "patient_id", give it that name'

step "no validation case"
ends 0 preprocess "${in_run[@]}" --splits 0.8,0,0.2 --out "$work/unvalidated"
ends 0 train-vae --config "$work/tiny.yaml" --run "$work/other" --dataset "$work/unvalidated" \
  --vae.train.keep_best true --vae.train.patience 1
says "there is no validation case" "finished after 6 steps" && says_not "one class"

if [[ $short == no && -d $real ]]; then
  step "public images"
  ends 0 info "$real/ct_volume/LIDC-IDRI-0001_2mm.nii.gz" --json
  cp "$work/out" "$work/lidc.json"
  holds "$work/lidc.json" '3 < data["lung_litres"] < 8'
  ends 0 info "$real/ct_dicom/LIDC-IDRI-0001_jpegls"
  # Two CTs with X-rays rendered from them, onto the grid of the model, and what it makes of these.
  printf 'id,ct,split\nlidc,%s,test\ncip,%s,train\n' "$real/ct_volume/LIDC-IDRI-0001_2mm.nii.gz" \
    "$real/ct_volume/CIP_ct-64.nrrd" > "$work/real.csv"
  ends 0 preprocess "${in_run[@]}" --input "$work/real.csv" --out "$work/real" --preprocess.cxr_from_ct all
  holds "$work/real/index.csv" '{row["id"] for row in data} == {"lidc", "cip"}'
  ends 0 sample "$run" "$work/real/cxr" "$work/of_real" && says "2 volumes made"
  ends 0 evaluate --generated "$work/of_real" --real "$work/real/ct" --cxr "$work/real/cxr" --out "$work/of_real_results"
  says "Image quality, 2 cases"
  holds "$work/of_real_results/metrics.json" '5 < data["images"]["metrics"]["psnr_db"]["generated"]["median"] < 40'
  cp -r "$real/cxr/rsna_dcm" "$work/films"
  chmod -R u+w "$work/films"
  films=$(find "$work/films" -type f -name '*.dcm' | wc -l)
  ends 0 sample "$run" "$work/films" "$work/of_films"
  holds "$work/of_films/samples.csv" "len(data) == $films"
  ends 0 sample "$run" "$work/films" "$work/of_films" && says "nothing to do"
fi
step "all as expected"
