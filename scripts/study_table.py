#!/usr/bin/env python3
"""Numbers of scripts/study_recipes.sh.

study_table.py steps CPU_5 CPU_35 SECONDS    how many steps fit; the files hold the seconds that 5
                                             and 35 steps took
study_table.py table RUN RECIPE...           the table; all are compared with "recommended"
study_table.py curves RUN FILE RECIPE...     training curves as SVG
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
    cases = len(best["generated_psnr_db"])
    print(f"{cases} held-out cases; difference: recommended less this one, paired\n")
    print(
        "| recipe | steps | CPU s | PSNR, dB | difference | p | SSIM 3D | difference | p "
        "| wrong X-ray, dB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for recipe in recipes:
        folder = run / recipe
        steps = json.loads((folder / "diffusion" / "metrics.jsonl").read_text().splitlines()[-1])[
            "step"
        ]
        cells = [recipe, steps, f"{cpu_seconds(folder / 'cpu'):.0f}"]
        for name, digits in measures:
            own = per_case(folder, name)
            cells.append(f"{own.mean():.{digits}f}")
            difference = best[name] - own
            same = recipe == "recommended"
            cells += (
                ["", ""]
                if same
                else [f"{difference.mean():+.{digits}f}", f"{paired_p(difference):.1e}"]
            )
        cells.append(f"{per_case(folder, 'wrong_cxr_psnr_db').mean():.2f}")
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


def smoothed_losses(metrics):
    """(steps, mean of ten logged losses as a share of the first ten's)"""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    loss = np.array([line["denoising"] for line in lines])
    mean = np.convolve(loss, np.ones(10) / 10, mode="valid")
    return np.array([line["step"] for line in lines])[9:], mean / mean[0]


def curves(run, file, recipes):
    """Drawn by hand, so that the study needs nothing but numpy."""
    width, height, left, top = 560, 300, 50, 20
    colours = [
        "#d62728",
        "#1f77b4",
        "#2ca02c",
        "#ff7f0e",
        "#9467bd",
        "#8c564b",
        "#e377c2",
        "#17becf",
        "#7f7f7f",
    ]
    found = {
        recipe: smoothed_losses(pathlib.Path(run) / recipe / "diffusion" / "metrics.jsonl")
        for recipe in recipes
    }
    most = max(steps[-1] for steps, _ in found.values())
    x = lambda step: left + width * step / most
    y = lambda share: top + height * (1 - min(share, 1.05) / 1.05)
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#888"/>'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<text x="{left - 6}" y="{y(share) + 4:.0f}" text-anchor="end">{share}</text>'
        )
    for step in range(0, int(most) + 1, 100):
        parts.append(
            f'<text x="{x(step):.0f}" y="{top + height + 16}" text-anchor="middle">{step}</text>'
        )
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">step</text>'
    )
    for i, (recipe, (steps, shares)) in enumerate(found.items()):
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(steps, shares))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colours[i]}" stroke-width="1.5"/>'
        )
        parts.append(
            f'<text x="{left + width + 10}" y="{top + 16 + 18 * i}" '
            f'fill="{colours[i]}">{recipe}</text>'
        )
    pathlib.Path(file).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 260} {height + 64}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    if sys.argv[1] == "steps":
        per_step = (cpu_seconds(sys.argv[3]) - cpu_seconds(sys.argv[2])) / 30
        print(int(float(sys.argv[4]) / per_step))
    elif sys.argv[1] == "curves":
        curves(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        table(sys.argv[2], sys.argv[3:])
