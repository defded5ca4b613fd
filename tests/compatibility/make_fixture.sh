#!/usr/bin/env bash
# Makes the fixture of a release: a dataset, models and checkpoints so small that they can lie here,
# of simulated patients. tests/compatibility/open_fixtures.py opens those of all releases.
#
#   tests/compatibility/make_fixture.sh VERSION       writes tests/compatibility/VERSION.tar.gz
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=${X2CTPA_BINARY:-$PWD/build/release/bin/x2ctpa}
target=$PWD/tests/compatibility/$1.tar.gz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp tests/compatibility/tiny.yaml "$work"
cd "$work"
for command in phantom preprocess train-vae train-diffusion "classify train --arm cxr"; do
  # shellcheck disable=SC2086  # an arm is an argument of its own
  "$binary" $command --config tiny.yaml --run run > log 2>&1 || { cat log; exit 1; }
done
# What is small: the dataset, the generator with its autoencoder, and the classifier with its
# checkpoint, whose form is that of every training.
find run -name previews -prune -exec rm -rf {} +
find run \( -name '*.log' -o -name 'log.txt' -o -name 'events.*' -o -name '*.jsonl' \) -delete
rm -rf run/phantom run/vae run/diffusion/checkpoints run/diffusion/latents
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=2020-01-01 -cf - tiny.yaml run |
  gzip -9n > "$target"
ls -l "$target"
