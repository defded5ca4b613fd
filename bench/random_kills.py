#!/usr/bin/env python3
"""Kills a training at random moments (SIGKILL) again and again, and checks after each kill that the
newest checkpoint is whole, and at the end that the result equals that of an undisturbed run, bit
for bit.

  bench/random_kills.py build/release/bin/x2ctpa --kills 50

It makes its own tiny data set in a temporary folder.
"""

import argparse
import hashlib
import pathlib
import random
import subprocess
import sys
import tempfile
import time

CONFIG = """
runtime: {threads: 1}
phantom: {patients: 16, ct_size: 48, slices: 24, cxr_size: 64}
preprocess:
  grid: [8, 16, 16]
  field_of_view_mm: [360, 260, 300]
  cxr_size: 32
  splits: [0.6, 0.2, 0.2]
vae:
  model: {hidden_channels: 4, embedding_dim: 4, codes: 16, downsample: [2, 4, 4]}
  train: {steps: %d, batch_size: 2, checkpoint_every: 3, validate_every: 50, log_every: 1}
"""


def newest_valid(folder):
    """(step, files that fail their checksum)"""
    best, bad = -1, []
    for file in sorted(folder.glob("step-*.safetensors")):
        checksum = pathlib.Path(f"{file}.sha256")
        step = int(file.stem.split("-")[1])
        if (
            checksum.exists()
            and checksum.read_text() == hashlib.sha256(file.read_bytes()).hexdigest()
        ):
            best = max(best, step)
        else:
            bad.append(file.name)
    return best, bad


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        config = root / "tiny.yaml"
        config.write_text(CONFIG % args.steps)

        def command(name, run):
            return [args.program, name, "--config", str(config), "--run", str(root / run), "-q"]

        for name in ("phantom", "preprocess"):
            subprocess.run(command(name, "whole"), check=True)
        (root / "killed").mkdir()
        (root / "killed" / "dataset").symlink_to(root / "whole" / "dataset")
        start = time.time()
        subprocess.run(command("train-vae", "whole"), check=True)
        alone = time.time() - start

        checkpoints = root / "killed" / "vae" / "checkpoints"
        kills = torn = 0
        last = -1
        while True:
            process = subprocess.Popen(command("train-vae", "killed"))
            # Long enough to gain ground between kills, whatever the machine's speed.
            limit = (
                rng.uniform(0.05, 1.5 * max(1.0, alone / args.kills))
                if kills < args.kills
                else None
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                step, bad = newest_valid(checkpoints)
                torn += len(bad) > 0
                if step < last:
                    sys.exit(
                        f"after kill {kills} the newest whole checkpoint is of step {step}, "
                        f"before it was {last}"
                    )
                last = step
                continue
            if code != 0:
                sys.exit(f"a restart after {kills} kills ended with {code}")
            break
        name = pathlib.Path("vae/model/model.safetensors")
        same = (root / "whole" / name).read_bytes() == (root / "killed" / name).read_bytes()
        print(
            f"{kills} kills over {args.steps} steps ({alone:.1f} s undisturbed), {torn} of them "
            "left a torn checkpoint; "
            f"the end {'equals' if same else 'DIFFERS FROM'} the undisturbed run"
        )
        sys.exit(0 if same and kills == args.kills else 1)


if __name__ == "__main__":
    main()
