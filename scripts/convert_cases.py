#!/usr/bin/env python3
"""Converts the checkpoint of every case of a folder of reference vectors, for check_vectors.sh.

convert_cases.py DIR OUT_FOLDER --program CHECK_VECTORS
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile

import convert_weights

# Our options that a case may give under its own name.
HINTS = {
    "vqgan": {"downsample": "downsample", "num_groups": "groups"},
    "autoencoder_kl": {"norm_num_groups": "norm_num_groups"},
    "unet3d": {"resnet_groups": "norm_groups"},
    "biomedclip_vit": {"heads": "heads", "num_heads": "heads"},
    "autoencoder_maisi": {"norm_num_groups": "norm_num_groups"},
    "clip_vision": {"heads": "heads"},
    "dinov2": {"heads": "heads", "image_size": "image_size"},
    "densenet3d": {"drop_rate": "drop_rate"},
}


def run_converter(case, vectors, out, extra=(), key="checkpoint"):
    """(exit code, what the converter printed)."""
    checkpoint = os.path.join(vectors, case[key].split(" (")[0])
    known = HINTS.get(case["kind"], {})
    hints = [f"{ours}={case[name]}" for name, ours in known.items() if name in case]
    arguments = [case["kind"], checkpoint, out]
    for option in (*hints, *extra):
        arguments += ["--option", option.replace(" ", "")]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = convert_weights.main(arguments)
    return code, printed.getvalue()


def fits(program, name, case, vectors, converted):
    """Whether the program finds the outputs of this one case."""
    with tempfile.TemporaryDirectory() as alone:
        file = name + ".safetensors"
        os.symlink(os.path.join(vectors, file), os.path.join(alone, file))
        cases = os.path.join(alone, "cases.json")
        with open(cases, "w", encoding="utf-8") as stream:
            json.dump({name: case}, stream)
        return subprocess.run([program, converted, cases], capture_output=True).returncode == 0


def convert_with_unknown_heads(name, case, vectors, converted, program):
    """A ViT's number of heads leaves no trace in its tensors: the convention first, then others."""
    code, printed = 1, ""
    for heads in ((), *([f"heads={n}"] for n in (4, 8, 2, 12, 6, 3, 16, 1))):
        code, printed = run_converter(case, vectors, os.path.join(converted, name), heads)
        if code == 0 and fits(program, name, case, vectors, converted):
            break
    return code, printed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vectors")
    parser.add_argument("out")
    parser.add_argument("--program", required=True, help="the program check_vectors")
    args = parser.parse_args()
    args.vectors = os.path.abspath(args.vectors)
    with open(os.path.join(args.vectors, "cases.json"), encoding="utf-8") as file:
        cases = json.load(file)
    failed = 0
    for name, case in cases.items():
        if "checkpoint" not in case:
            continue
        if case["kind"] == "biomedclip_vit" and not {"heads", "num_heads"} & case.keys():
            where = (args.vectors, args.out, args.program)
            code, printed = convert_with_unknown_heads(name, case, *where)
        else:
            code, printed = run_converter(case, args.vectors, os.path.join(args.out, name))
        if code == 0 and "gradients" in case:
            out = os.path.join(args.out, name, "gradients")
            code, printed = run_converter(case, args.vectors, out, key="gradients")
        if code:
            print(f"{name}: the checkpoint does not convert\n{printed}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
