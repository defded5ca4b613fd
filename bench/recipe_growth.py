#!/usr/bin/env python3
"""Time and memory of configs/recommended.yaml against the grid, on simulated patients: a training
step of each network at batch 1, and a generated volume.

    recipe_growth.py [--grid D,H,W]... [--work DIR]

Without --grid: 24,48,48, 64,128,128, 128,256,256 and 64,256,256. The last is the recipe as it is;
at the others the U-Net has three levels, since the latent of the smallest has no more. Seconds are
of the clock on all cores, the second step's; memory is the most that each command held. It prints
a table.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = pathlib.Path(os.environ.get("X2CTPA", ROOT / "build" / "release" / "bin" / "x2ctpa"))
THREE_LEVELS = ["--diffusion.denoiser.unet.dim_mults", "1,2,4"]
PUBLISHED = "64,256,256"
SIZES = ["24,48,48", "64,128,128", "128,256,256", PUBLISHED]
PATIENTS = 12
COLUMNS = ("grid", "autoencoder", "denoiser", "refiner", "train-diffusion", "sample, 15 steps")


def run(command, *arguments):
    """Wall seconds and peak GB of a command of the program."""
    start = time.perf_counter()
    process = subprocess.Popen([PROGRAM, command, *map(str, arguments), "-q"], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"recipe_growth: x2ctpa {command} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def step_seconds(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["seconds"]


def row_of(grid, more, patients, work):
    folder = work / grid.replace(",", "x")
    common = ["--config", "recommended", "--run", folder]
    run("preprocess", "--input", patients / "manifest.csv", "--preprocess.grid", grid,
        "--preprocess.splits", "0.8,0.1,0.1", *common)  # fmt: skip
    steps = "batch_size 1 log_every 1 steps 2 validate_every 0 preview_every 0".split()

    def trained(section):
        names = zip(steps[::2], steps[1::2], strict=True)
        return [word for name, value in names for word in (f"--{section}.{name}", value)]

    _, vae_peak = run("train-vae", *common, *trained("vae.train"))
    _, diffusion_peak = run("train-diffusion", *common, *trained("diffusion.train"),
        *trained("diffusion.refiner.train"), "--diffusion.prior.components", 4, *more)  # fmt: skip
    sample_seconds, sample_peak = run("sample", *common, "--split", "test")
    vae, denoiser = step_seconds(folder / "vae"), step_seconds(folder / "diffusion")
    refiner = step_seconds(folder / "diffusion" / "refiner")
    return (grid.replace(",", "x"), f"{vae:.1f} s, {vae_peak:.2f} GB", f"{denoiser:.1f} s",
        f"{refiner:.1f} s", f"{diffusion_peak:.2f} GB",
        f"{sample_seconds:.1f} s, {sample_peak:.2f} GB")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", action="append", default=[])
    parser.add_argument("--work", type=pathlib.Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or pathlib.Path(temporary)
        patients = work / "phantom"
        run("phantom", "--patients", PATIENTS, "--out", patients, "--seed", 5)
        print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
        for grid in given.grid or SIZES:
            more = [] if grid == PUBLISHED else THREE_LEVELS
            print("| " + " | ".join(row_of(grid, more, patients, work)) + " |", flush=True)


if __name__ == "__main__":
    main()
