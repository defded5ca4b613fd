#!/usr/bin/env python3
"""Turns the CTs of RAD-ChestCT (zenodo.org/records/6406114) into volumes and a manifest.

    .venv/bin/python scripts/convert_radchestct.py FOLDER OUT \\
      --metadata CT_Scan_Metadata_Complete_35747.csv
    x2ctpa preprocess --input OUT/manifest.csv --run R --preprocess.cxr_from_ct all

FOLDER holds trn*.npz, val*.npz and tst*.npz with the key ct, which make the splits train, val and
test. By github.com/rachellea/ct-volume-preprocessing a ct is int16 HU clipped to [-1000, 1000],
slices of rows of columns, 0.8 mm along each axis, from head to feet, front to back and the
patient's right to left. With the table of metadata, scans of one MRN_DEID are of one patient;
without it each scan is a patient of its own. There is no label of PE and no X-ray.
"""

import argparse
import csv
import glob
import os
import sys

import numpy as np

import volume_files

SPACING_MM = 0.8
SPLITS = {"trn": "train", "val": "val", "tst": "test"}


def patients_in(path):
    """Patient by scan."""
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = {"MRN_DEID", "NoteAcc_DEID"} - set(table.fieldnames or [])
        if missing:
            sys.exit(f"convert_radchestct: {path} has no column {', '.join(sorted(missing))}")
        return {row["NoteAcc_DEID"]: row["MRN_DEID"] for row in table}


def read_scan(path):
    """HU from feet to head. Raises ValueError for what is no such file."""
    with np.load(path) as file:  # without pickles
        if "ct" not in file:
            raise ValueError(f"expected the key ct, found {', '.join(file) or 'none'}")
        hu = file["ct"]
    if hu.ndim != 3 or hu.shape[1] != hu.shape[2] or not np.issubdtype(hu.dtype, np.integer):
        raise ValueError(f"expected whole HU in square slices, found {hu.shape} of {hu.dtype}")
    if hu.min() < -1000 or hu.max() > 1000 or hu.min() > -500:
        raise ValueError(f"expected HU within [-1000, 1000], found {hu.min()} to {hu.max()}")
    return hu[::-1]


def main(arguments=None):
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--metadata", help="the table with MRN_DEID and NoteAcc_DEID")
    args = parser.parse_args(arguments)
    patients = patients_in(args.metadata) if args.metadata else {}
    rows, refused, unknown = [], [], []
    for path in sorted(glob.glob(os.path.join(args.folder, "*.npz"))):
        name = os.path.splitext(os.path.basename(path))[0]
        try:
            if name[:3] not in SPLITS:
                raise ValueError("expected a name that begins with trn, val or tst")
            hu = read_scan(path)
        except (ValueError, OSError) as error:
            refused.append(f"{name} ({error})")
            continue
        file = os.path.join(args.out, "ct", name + ".nii.gz")
        volume_files.write_nifti(file, hu, SPACING_MM, "RAD-ChestCT")
        if patients and name not in patients:
            unknown.append(name)
        row = [name, patients.get(name, name), f"ct/{name}.nii.gz", SPLITS[name[:3]]]
        rows.append(row)
    for what, names in (("cannot be used", refused), ("are not in the metadata", unknown)):
        if names:
            more = "" if len(names) <= 10 else f" and {len(names) - 10} more"
            text = f"convert_radchestct: {len(names)} {what}: {', '.join(names[:10])}{more}"
            print(text, file=sys.stderr)
    if not rows:
        sys.exit(f"convert_radchestct: no scan in {args.folder}")
    with open(os.path.join(args.out, "manifest.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["id", "patient_id", "ct", "split"], *rows]
        )
    print(f"convert_radchestct: {len(rows)} scans in {args.out}")
    return 3 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
