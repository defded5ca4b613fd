#!/usr/bin/env python3
"""Turns the LIDC benchmark of X2CT-GAN (LIDC-HDF5-256) into volumes, X-rays and a manifest.

    scripts/setup.sh --x2ct        # once: Python with h5py in .venv-x2ct
    .venv-x2ct/bin/python scripts/convert_x2ct.py FOLDER OUT --train train.txt --test test.txt
    x2ctpa preprocess --config configs/x2ct.yaml --input OUT/manifest.csv --run R

FOLDER, LIDC-HDF5-256, holds CASE/ct_xray_data.h5 for each case (keys ct, xray1, xray2, ori_size,
spacing); the lists are those of github.com/kylekma/X2CT (3DGAN/data: 916 and 102 cases). OUT gets
CASE/ct.nii.gz in HU, CASE/cxr.png, CASE/cxr_lateral.png and manifest.csv.

What the files are, by that repository: a cube of 320 mm, which makes 1.25 mm of its 256 voxels (the
key spacing says 1.0); CT numbers are HU + 1024, of which 0 to 2500 are used; slices run from head
to feet. X-rays are PA from the back and lateral from the patient's left. How their columns run is
measured here, against the sum of the CT along the beam.
"""

import argparse
import collections
import csv
import hashlib
import os
import sys

import numpy as np

import volume_files

SIDE_MM = 320.0
OFFSET, TOP = 1024, 2500
# A film of 500 mm at 949 mm from the source shows this much of the plane at 541 mm.
FILM_AT_CENTRE_MM = 500 * 541 / 949
JUDGED = 20  # cases by which the columns' direction is told
COLUMNS = ["id", "patient_id", "ct", "cxr", "cxr_lateral", "split"]
COLUMNS += [f"cxr_centre_{axis}_mm" for axis in "xyz"]


class UnusableCase(Exception):
    """What is wrong with a case."""


def read_case(path):
    """(ct, frontal, lateral or None) of an HDF5 file, as they are stored."""
    try:
        import h5py
    except ImportError:
        sys.exit(
            "convert_x2ct: there is no h5py. Run scripts/setup.sh --x2ct, then this script with "
            ".venv-x2ct/bin/python."
        )
    try:
        with h5py.File(path, "r") as file:
            missing = [key for key in ("ct", "xray1") if key not in file]
            if missing:
                raise UnusableCase(f"no {' and no '.join(missing)}")
            ct, frontal = np.asarray(file["ct"]), np.asarray(file["xray1"])
            lateral = np.asarray(file["xray2"]) if "xray2" in file else None
    except OSError as error:
        raise UnusableCase(f"no HDF5 file that can be read: {error}") from error
    if ct.ndim != 3 or len(set(ct.shape)) != 1 or ct.shape[0] < 2:
        raise UnusableCase(f"ct is to be a cube, found {ct.shape}")
    if not np.isfinite(ct).all() or ct.max() <= 0:
        raise UnusableCase("ct is to hold HU + 1024, found no number above 0")
    for name, film in (("xray1", frontal), ("xray2", lateral)):
        if film is None:
            continue
        if (
            film.ndim != 2
            or not np.isfinite(film).all()
            or film.min() < 0
            or not 1 < film.max() < 256
        ):
            raise UnusableCase(
                f"{name} is to be a picture of 0 to 255, found {film.shape}, "
                f"{film.min()} to {film.max()}"
            )
    return ct, frontal, lateral


def resized(volume, size):
    """By lines between the first and last voxels' centres along each axis, as
    scipy.ndimage.zoom(order=1) does it in X2CT-GAN's loader."""
    volume = volume.astype(np.float64)
    for axis in range(3):
        count = volume.shape[axis]
        places = np.arange(size) * ((count - 1) / (size - 1))
        below = np.minimum(places.astype(int), count - 2)
        share = (places - below).reshape([-1 if a == axis else 1 for a in range(3)])
        low, high = np.take(volume, below, axis), np.take(volume, below + 1, axis)
        volume = low * (1 - share) + high * share
    return volume


def hounsfield(ct, size):
    """(HU from feet to head, spacing in mm) of the stored CT, of `size` voxels along each axis."""
    spacing = SIDE_MM / ct.shape[0]
    if size not in (0, ct.shape[0]):
        spacing *= (ct.shape[0] - 1) / (size - 1)
        ct = resized(ct, size)
    whole = np.floor(np.clip(ct, 0, TOP).astype(np.float64) + 0.5)
    return (whole - OFFSET).astype(np.int16)[::-1], spacing


def likeness(film, ct, axis):
    """Correlation of the film, as it is and mirrored, with the sum of the CT along an axis."""
    sums = np.clip(ct, 0, TOP).sum(axis=axis, dtype=np.float64)
    rows, columns = film.shape

    def places(count):
        within = (np.arange(count) - (count - 1) / 2) * FILM_AT_CENTRE_MM / count
        voxel = within * (sums.shape[0] / SIDE_MM) + (sums.shape[0] - 1) / 2
        return np.clip(np.rint(voxel).astype(int), 0, sums.shape[0] - 1)

    seen = sums[np.ix_(places(rows), places(columns))]
    return [float(np.corrcoef(seen.ravel(), film[:, ::step].ravel())[0, 1]) for step in (1, -1)]


def read_list(path):
    with open(path, encoding="utf-8") as file:
        names = [line.strip() for line in file if line.strip()]
    twice = [name for name, count in collections.Counter(names).items() if count > 1]
    if twice:
        sys.exit(f"convert_x2ct: {path} names {twice[0]} twice")
    return names


def patient_of(case):
    """LIDC-IDRI-0001 of LIDC-IDRI-0001.20000101.3000566.1"""
    return case.split(".")[0]


def splits_of(train, test, validation):
    """(split by case, patient by case, patients of both lists). A patient of both lists is two."""
    both = set(map(patient_of, train)) & set(map(patient_of, test))
    patients = {case: patient_of(case) for case in test}
    patients |= {case: case if patient_of(case) in both else patient_of(case) for case in train}
    order = sorted(
        set(patients[case] for case in train),
        key=lambda patient: hashlib.sha256(patient.encode()).hexdigest(),
    )
    held_out = set(order[:validation])
    splits = {case: "val" if patients[case] in held_out else "train" for case in train}
    return splits | dict.fromkeys(test, "test"), patients, sorted(both)


class Report:
    """Names what was found and counts it."""

    def __init__(self):
        self.found = {}

    def add(self, what, name, detail=""):
        self.found.setdefault(what, []).append(name + (f" ({detail})" if detail else ""))

    def print(self):
        for what, names in self.found.items():
            more = "" if len(names) <= 10 else f" and {len(names) - 10} more"
            print(
                f"convert_x2ct: {len(names)} {what}: {', '.join(names[:10])}{more}", file=sys.stderr
            )


def mirrored_views(files):
    """For the frontal and the lateral X-ray, whether the columns run against the CT's, by the first
    cases; None without one."""
    sums = [[], []]
    for path in files:
        if min(len(found) for found in sums) >= JUDGED:
            break
        try:
            ct, *films = read_case(path)
        except UnusableCase:
            continue
        for view, film in enumerate(films):
            if film is not None and len(sums[view]) < JUDGED:
                sums[view].append(likeness(film, ct, view + 1))
    return [bool(np.diff(np.mean(found, axis=0))[0] > 0) if found else None for found in sums]


def convert_case(case, path, out, size, mirrored, report):
    """The files of a case and their columns of the manifest."""
    ct, *films = read_case(path)
    hu, spacing = hounsfield(ct, size)
    folder = os.path.join(out, case)
    volume_files.write_nifti(os.path.join(folder, "ct.nii.gz"), hu, spacing, "X2CT-GAN LIDC")
    row = {"id": case, "ct": f"{case}/ct.nii.gz", "cxr_lateral": ""}
    row |= {f"cxr_centre_{axis}_mm": "0" for axis in "xyz"}
    for view, (film, name) in enumerate(zip(films, ("cxr", "cxr_lateral"))):
        if film is None:
            report.add("cases without xray2, converted with one view", case)
            continue
        found = likeness(film, ct, view + 1)
        if max(found) < 0.5 or found[mirrored[view]] < found[not mirrored[view]] - 0.02:
            report.add(
                f"cases whose {name} does not fit their CT", case, f"correlation {max(found):.2f}"
            )
        turned = film[:, ::-1] if mirrored[view] else film
        volume_files.write_png(os.path.join(folder, name + ".png"), np.rint(turned))
        row[name] = f"{case}/{name}.png"
    return row


def write_manifest(rows, path):
    with open(path + ".part", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    os.replace(path + ".part", path)


def parse(arguments):
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--train", required=True, help="list of the training cases")
    parser.add_argument("--test", required=True, help="list of the test cases")
    parser.add_argument(
        "--size", type=int, default=128, help="voxels along each axis; 0: as stored"
    )
    help_text = "patients of the training list that become the split val"
    parser.add_argument("--validation", type=int, default=0, help=help_text)
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    train, test = read_list(args.train), read_list(args.test)
    if set(train) & set(test):
        sys.exit(f"convert_x2ct: {min(set(train) & set(test))} is in both lists")
    splits, patients, both = splits_of(train, test, args.validation)
    report = Report()
    for patient in both:
        report.add("patients of both lists, their scans taken as of two patients", patient)
    files = {case: os.path.join(args.folder, case, "ct_xray_data.h5") for case in train + test}
    absent = [case for case in files if not os.path.exists(files[case])]
    for case in absent:
        report.add("cases of the lists without a file", case)
        del files[case]
    for case in sorted(set(os.listdir(args.folder)) - set(splits)):
        if os.path.exists(os.path.join(args.folder, case, "ct_xray_data.h5")):
            report.add("cases of no list, left out", case)
    mirrored = mirrored_views(files.values())
    rows, refused = [], 0
    for number, (case, path) in enumerate(files.items()):
        try:
            row = convert_case(case, path, args.out, args.size, mirrored, report)
        except UnusableCase as error:
            refused += 1
            report.add("cases that cannot be used", case, str(error))
            continue
        rows.append(row | {"split": splits[case], "patient_id": patients[case]})
        if (number + 1) % 50 == 0:
            print(f"convert_x2ct: {number + 1} of {len(files)}", flush=True)
    report.print()
    if not rows:
        sys.exit(f"convert_x2ct: no case of the lists is in {args.folder}")
    write_manifest(rows, os.path.join(args.out, "manifest.csv"))
    counts = [
        f"{name} {sum(row['split'] == name for row in rows)}" for name in ("train", "val", "test")
    ]
    directions = ["none" if m is None else "mirrored" if m else "as stored" for m in mirrored]
    print(
        f"convert_x2ct: {len(rows)} cases ({', '.join(counts)}) in {args.out}; columns of the "
        f"frontal X-rays {directions[0]}, of the lateral ones {directions[1]}"
    )
    return 3 if absent or refused else 0


if __name__ == "__main__":
    sys.exit(main())
