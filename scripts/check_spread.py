#!/usr/bin/env python3
"""How well the spread of several samples of an X-ray foretells their error, given the truth.

    x2ctpa sample --run R --split test --samples-per-cxr 8 --out SAMPLES
    .venv/bin/python scripts/check_spread.py R/dataset SAMPLES

Prints rank correlations (Spearman): over the voxels of each case, of the samples' standard
deviation with the error of their mean; over the cases, of the mean of the first with the mean of
the second; and over the samples of each case, of the similarity of the sample's projection to the
X-ray with its error. HU, clipped to the window of the dataset.
"""

import csv
import gzip
import json
import pathlib
import sys

import numpy as np

TYPES = {4: "<i2", 16: "<f4", 64: "<f8", 512: "<u2"}


def read_nifti(path):
    """The voxels of a NIfTI file that x2ctpa wrote: little-endian, slope 1."""
    data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    size = np.frombuffer(data, "<i2", 3, 42)
    kind = int(np.frombuffer(data, "<i2", 1, 70)[0])
    start = int(np.frombuffer(data, "<f4", 1, 108)[0])
    return np.frombuffer(data, TYPES[kind], int(np.prod(size)), start).astype(np.float64)


def ranks(values):
    """Ranks of `values`, ties at their mean."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[where]


def spearman(a, b):
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def summary(values):
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f"median {middle:.3f} ({low:.3f} to {high:.3f})"


def main(dataset, samples):
    info = json.loads((dataset / "dataset.json").read_text())
    clipped = lambda hu: hu.clip(info["window_min_hu"], info["window_max_hu"])
    with open(samples / "ranking.csv", newline="") as file:
        ranking = list(csv.DictReader(file))
    with open(samples / "uncertainty.csv", newline="") as file:
        cases = list(csv.DictReader(file))
    voxels, fits, spreads, errors = [], [], [], []
    for case in cases:
        truth = clipped(read_nifti(dataset / "ct" / f"{case['case_id']}.nii"))
        spread = read_nifti(samples / case["std_file"])
        error = np.abs(read_nifti(samples / case["mean_file"]) - truth)
        voxels.append(spearman(spread, error))
        spreads.append(spread.mean())
        errors.append(error.mean())
        own = [row for row in ranking if row["case_id"] == case["case_id"]]
        wrong = [np.abs(read_nifti(samples / f"{r['name']}.nii.gz") - truth).mean() for r in own]
        fits.append(spearman([float(r["projection_similarity"]) for r in own], wrong))
    print(f"{len(cases)} cases, {len(own)} samples of each")
    print(f"spread and error over voxels: {summary(voxels)}")
    print(f"mean spread and mean error over cases: {spearman(spreads, errors):.3f}")
    print(f"projection similarity and error over samples: {summary(fits)}")
    print(f"mean spread {np.mean(spreads):.1f} HU, mean error of the mean {np.mean(errors):.1f} HU")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: " + __doc__.split("\n\n")[1].strip())
    main(*map(pathlib.Path, sys.argv[1:]))
