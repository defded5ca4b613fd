#!/usr/bin/env python3
"""Opens the fixture of every release with the program at hand: what one wrote, later ones read.

open_fixtures.py BINARY       of each tests/compatibility/VERSION.tar.gz (make_fixture.sh)
"""

import pathlib
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def run(binary, folder, line, wanted=""):
    done = subprocess.run(
        [binary, *line.split()], cwd=folder, capture_output=True, text=True, timeout=120
    )
    told = done.stdout + done.stderr
    if done.returncode != 0 or wanted not in told:
        sys.exit(f"x2ctpa {line} ended with {done.returncode}, without '{wanted}':\n{told}")


def open_fixture(binary, archive, folder):
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    common = "--config tiny.yaml --run run"
    for part in (
        "dataset",
        "diffusion/model",
        "diffusion/model/autoencoder",
        "classifier/cxr/model",
    ):
        run(binary, folder, f"info run/{part}")
    run(binary, folder, f"sample {common} --split all", "4 volumes")
    run(binary, folder, f"classify predict --arm cxr {common}")
    run(binary, folder, f"classify train --arm cxr {common} --classifier.train.steps 3 --force")
    if not list((folder / "run/classifier/cxr/checkpoints").glob("step-*3.safetensors")):
        sys.exit("the training did not go on from its checkpoint")
    print(f"{archive.name}: opened")


def main():
    archives = sorted(HERE.glob("*.tar.gz"))
    if not archives:
        sys.exit(f"no fixture in {HERE}")
    for archive in archives:
        with tempfile.TemporaryDirectory() as folder:
            open_fixture(sys.argv[1], archive, pathlib.Path(folder))


if __name__ == "__main__":
    main()
