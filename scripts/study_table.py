#!/usr/bin/env python3
"""Numbers of scripts/study_recipes.sh.

    study_table.py steps CPU_5 CPU_35 SECONDS    how many steps fit; the files hold seconds of 5 and 35 steps
    study_table.py table RUN RECIPE...           the table; all are compared with "recommended"
"""

import csv
import json
import pathlib
import sys

import numpy as np


def cpu_seconds(file):
    return sum(float(word) for word in pathlib.Path(file).read_text().split()[-2:])


def per_case(folder, column):
    with open(folder / "evaluation" / "per_case.csv", newline="") as file:
        rows = {row["case_id"]: float(row[column]) for row in csv.DictReader(file)}
    return np.array([rows[case] for case in sorted(rows)])


def paired_p(differences, draws=100000):
    """Two-sided p of the mean difference when the sign of each is a coin's (permutation test)."""
    random = np.random.default_rng(0)
    signs = random.choice([-1.0, 1.0], size=(draws, len(differences)))
    means = np.abs((signs * differences).mean(axis=1))
    return (1 + np.sum(means >= abs(differences.mean()) - 1e-12)) / (1 + draws)


def table(run, recipes):
    run = pathlib.Path(run)
    measures = (("generated_psnr_db", 2), ("generated_ssim_3d", 4))
    best = {name: per_case(run / "recommended", name) for name, _ in measures}
    print(f"{len(best['generated_psnr_db'])} held-out cases; difference: recommended less this one, paired\n")
    print("| recipe | steps | CPU s | PSNR, dB | difference | p | SSIM 3D | difference | p | wrong X-ray, dB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for recipe in recipes:
        folder = run / recipe
        steps = json.loads((folder / "diffusion" / "metrics.jsonl").read_text().splitlines()[-1])["step"]
        cells = [recipe, steps, f"{cpu_seconds(folder / 'cpu'):.0f}"]
        for name, digits in measures:
            own = per_case(folder, name)
            cells.append(f"{own.mean():.{digits}f}")
            difference = best[name] - own
            same = recipe == "recommended"
            cells += ["", ""] if same else [f"{difference.mean():+.{digits}f}", f"{paired_p(difference):.1e}"]
        cells.append(f"{per_case(folder, 'wrong_cxr_psnr_db').mean():.2f}")
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    if sys.argv[1] == "steps":
        per_step = (cpu_seconds(sys.argv[3]) - cpu_seconds(sys.argv[2])) / 30
        print(int(float(sys.argv[4]) / per_step))
    else:
        table(sys.argv[2], sys.argv[3:])
